//! What runs beside the hooks, and ends with its module.

use std::pin::Pin;
use std::sync::Arc;

use crate::chains::Start;
use crate::panics::caught_async;

/// A future that a broker runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends a task.
pub trait Stop: Send + Sync {
    /// It is not polled any more; a poll under way on another thread may still end. What the task owns is dropped.
    fn stop(&self);
}

/// The task, of which a panic is logged and counted as that of a hook.
pub(crate) fn watched(task: Task, start: Arc<Start>) -> Task {
    Box::pin(async move {
        if let Err(why) = caught_async(task).await {
            start.complain("task", &why);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::testing::Recorder;
    use crate::{Ctx, Hooks};

    /// Says when it is dropped.
    struct Held(Arc<()>);

    #[test]
    fn a_task_runs_from_when_its_module_is_in_until_that_leaves() {
        let (host, hooks, held) = (Recorder::new(), Hooks::new(), Arc::new(()));
        let ctx = || Ctx::new("m", 0, host.clone(), Arc::default());
        let spawn = |ctx: &Ctx| {
            let held = Held(held.clone());
            ctx.spawn(async move {
                pending::<()>().await;
                drop(held.0);
            });
        };
        let failed = ctx();
        spawn(&failed);
        drop(failed);
        assert_eq!(Arc::strong_count(&held), 1, "its start failed");
        let started = ctx();
        spawn(&started);
        let entered = hooks.enter(started);
        host.run_tasks();
        assert_eq!((Arc::strong_count(&held), host.tasks()), (2, 1));
        drop(entered);
        assert_eq!((Arc::strong_count(&held), host.tasks()), (1, 0));
    }

    #[test]
    fn a_task_that_panics_is_counted() {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let ctx = Ctx::new("m", 0, host.clone(), Arc::default());
        ctx.spawn(async { panic!("no more") });
        let entered = hooks.enter(ctx);
        host.run_tasks();
        assert_eq!((entered.panics(), host.tasks()), (1, 0));
    }
}
