# Where nodes go: what the operator said ($1), else /var/lib/dkc where the login user may write, else at home.
root=$1
if [ "$root" = - ]; then
  if [ -d /var/lib/dkc ] && [ -w /var/lib/dkc ]; then root=/var/lib/dkc
  elif [ ! -e /var/lib/dkc ] && [ -w /var/lib ]; then root=/var/lib/dkc
  else root=$HOME/.local/share/dkc; fi
fi
