//! `rollcall stats`

use crate::failure::Failure;
use crate::output::Output;
use crate::remote::Remote;

/// Which numbers.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// What was counted since the start instead
    #[arg(long)]
    metrics: bool,
}

pub(crate) async fn run(args: &Args, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let what = if args.metrics { "metrics" } else { "stats" };
    let answer = remote.get(&format!("/{what}")).await?;
    Ok(out.object(&answer["data"][0][what])?)
}
