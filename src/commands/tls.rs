//! `tls`: certificates of a cluster and its slaves. Nodes renew them automatically; this shows them, replaces them at once, and
//! revokes a slave's identity.

use dkc_core::ids::SlaveId;
use dkc_inventory::certificates::{self, CertificateRow};
use dkc_inventory::plan::{self, RevokeRequest, RotateRequest, Target};

use super::deploy;
use crate::arguments::OfCluster;
use crate::authority;
use crate::error::{CommandError, Exit, codes};
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::store::holder;
use crate::ui::{Format, Listing};

/// Show, rotate or revoke certificates
///
/// Certificates are valid for 90 days. Servers renew their own and those of slaves automatically when 36 days are left.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  tls show -n c0\n  tls show -n c0 -o json\n  tls rotate -n c0 --dry-run\n  tls rotate -n c0 --ca\n  tls revoke -n c0 --slave 0"
)]
pub enum Args {
    /// Show each node's certificate, its issuer and its expiry
    Show {
        #[command(flatten)]
        of: OfCluster,
    },
    /// Replace the key and certificate of every node; the cluster keeps serving
    Rotate {
        #[command(flatten)]
        of: OfCluster,
        /// Also replace the certificate authority: trust both, reissue all certificates, trust only the new one
        #[arg(long)]
        ca: bool,
    },
    /// Revoke a slave's identity: every server disconnects it permanently
    Revoke {
        #[command(flatten)]
        of: OfCluster,
        /// The slave's id
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        slave: SlaveId,
    },
}

impl Args {
    pub fn is_changing(&self) -> bool {
        !matches!(self, Args::Show { .. })
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Show { of } => show(session, &of).await,
        Args::Rotate { of, ca } => rotate(session, &of, ca).await,
        Args::Revoke { of, slave } => revoke(session, &of, slave).await,
    }
}

async fn show(session: &mut Session, of: &OfCluster) -> Result<(), CommandError> {
    let cluster = session.cluster_name(of.name.as_ref())?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("tls"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let authority = authority::certificate(&session.store.authority_dir(), &cluster)
        .map_err(|error| CommandError::new(&codes::AUTHORITY, error.to_string()).now("nothing changed"))?;
    let now_s = time::OffsetDateTime::now_utc().unix_timestamp();
    let rows = certificates::rows(&inventory, &observed, &cluster, authority.as_ref(), now_s);
    let mut listing =
        Listing::new(&["holder", "role", "from", "until", "days left", "issuer", "fingerprint", "notice"]);
    for row in &rows {
        listing.push(columns(row), row);
    }
    session.show(Format::Table, &listing);
    match rows.iter().any(|row| row.is_silent) {
        true => Err(CommandError::silent(Exit::Unreachable)),
        false => Ok(()),
    }
}

fn columns(row: &CertificateRow) -> Vec<String> {
    let day = |at_s: Option<i64>| {
        let at = at_s.and_then(|at_s| time::OffsetDateTime::from_unix_timestamp(at_s).ok());
        at.map(|at| at.date().to_string()).unwrap_or_default()
    };
    vec![
        row.holder.clone(),
        row.role.into(),
        day(row.from_s),
        day(row.until_s),
        row.days_left.map(|days| days.to_string()).unwrap_or_default(),
        row.issuer.clone().unwrap_or_default(),
        row.fingerprint.as_deref().map(|hex| hex.chars().take(16).collect()).unwrap_or_default(),
        row.notice.clone().unwrap_or_default(),
    ]
}

async fn rotate(session: &mut Session, of: &OfCluster, ca: bool) -> Result<(), CommandError> {
    let cluster = session.cluster_name(of.name.as_ref())?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("tls rotate"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = RotateRequest {
        operation: operation::begin(session),
        authorities: deploy::authorities_of(session, &inventory, [&cluster].into_iter())?,
        cluster,
        ca,
    };
    let plan = plan::rotate(&inventory, &observed, &request).map_err(operation::refused("tls rotate"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}

async fn revoke(session: &mut Session, of: &OfCluster, slave: SlaveId) -> Result<(), CommandError> {
    let cluster = session.cluster_name(of.name.as_ref())?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("tls revoke"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = RevokeRequest { operation: operation::begin(session), cluster, slave, holder: holder() };
    let plan = plan::revoke(&inventory, &observed, &request).map_err(operation::refused("tls revoke"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}
