complete --keep-order --exclusive --command dkc --arguments "(DKC_COMPLETE=fish dkc -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
