//! `rollcall reload`

use serde_json::Value;

use crate::failure::Failure;
use crate::output::Output;
use crate::remote::Remote;

pub(crate) async fn run(remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let answer = remote.post("/reload", None).await?;
    let said = |key: &str| -> Vec<String> {
        let all = answer["data"][key].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    let (changed, waiting) = (said("changed"), said("needs_restart"));
    let mut lines = changed;
    lines.extend(waiting.iter().map(|key| format!("{key} has changed, and needs a restart")));
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    Ok(out.done(&lines.join("\n"), &answer)?)
}
