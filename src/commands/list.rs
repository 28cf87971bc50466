//! `list`: registered names, one per line, for people and scripts; with `-o` the same as `show`.

use dkc_inventory::show;

use super::show::Args as What;
use crate::error::CommandError;
use crate::session::Session;

/// List registered names, one per line
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  list host\n  list host --group c0\n  list host -o table\n  list cluster\n  list slave --cluster c0\n  list pair\n  list config"
)]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    if let Some(format) = session.settings.output {
        let listing = super::show::listing(session, &args.what).await?;
        session.ui.show(format, &listing);
        return Ok(());
    }
    let inventory = session.inventory()?;
    let names = match &args.what {
        What::Host(words) => show::list_hosts(&inventory, &words.filter())?,
        What::Cluster(words) => show::list_clusters(&inventory, &words.filter())?,
        What::Slave(words) => show::list_slaves(&inventory, &words.filter())?,
        What::Pair(words) => show::list_pairs(&inventory, &words.filter())?,
        What::Instance(words) => {
            let nodes = super::show::nodes(&inventory, words)?;
            nodes.iter().map(ToString::to_string).collect()
        }
        What::Config(_) => show::list_configs(&inventory),
    };
    names.iter().for_each(|name| session.ui.data_line(name));
    session.say_nothing_found(names.is_empty());
    Ok(())
}
