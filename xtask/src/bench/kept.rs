//! What keeping costs: cases that were also run with `--data-dir memory`, and what was in the folder behind them.

use super::{Case, median, number};

/// A table for people, which is also Markdown.
pub(super) fn print(cases: &[Case]) {
    let cases: Vec<_> = cases.iter().filter(|case| !case.memory.is_empty()).collect();
    if cases.is_empty() {
        return;
    }
    println!("\nRollcall with a folder and with `--data-dir memory`, and the folder behind the run:\n");
    println!("| case | unit | folder | memory | ratio | folder/s | memory/s | folder, MiB |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for Case { name, unit, rollcall, memory, folder, .. } in cases {
        let values = [rollcall, memory].map(|outcomes| median(outcomes, |outcome| Some(outcome.value)));
        let rates = [rollcall, memory].map(|outcomes| median(outcomes, |outcome| Some(outcome.per_second)));
        let ratio = values[0].zip(values[1]).map(|(folder, memory)| folder / memory);
        let size = median(folder, |&bytes| Some(bytes as f64 / 1048576.0));
        let cells = [values[0], values[1], ratio, rates[0], rates[1], size].map(number);
        println!("| `{name}` | {unit} | {} |", cells.join(" | "));
    }
}
