//! Who is connected, and who goes when there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::task::{AbortHandle, Id};

use crate::shares::Share;
use crate::source::Source;

/// Whether somebody has shown on a connection who they are; among the extensions of its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<AtomicBool>);

impl Known {
    pub(crate) fn note(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Connections, the oldest first.
#[derive(Default)]
pub(super) struct Crowd(Vec<Member>);

pub(super) struct Member {
    pub(super) source: Source,
    pub(super) task: AbortHandle,
    pub(super) known: Known,
    /// Free for another when the member is out of the crowd.
    pub(super) _place: Option<Share<Source>>,
}

impl Crowd {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, member: Member) {
        self.0.push(member);
    }

    /// Its task has ended.
    pub(super) fn forget(&mut self, task: Id) {
        self.0.retain(|member| member.task.id() != task);
    }

    /// Ends one of those who have not shown who they are, `of` this source or of any; false if there is none. Who has most of
    /// them loses its oldest. So who says at once who they are, or only wants a short answer, gets in, however many others
    /// connect.
    pub(super) fn make_room(&mut self, of: Option<Source>) -> bool {
        let unknown = || {
            let meant = |member: &&Member| of.is_none_or(|of| member.source == of);
            self.0.iter().filter(meant).filter(|member| !member.known.0.load(Relaxed))
        };
        let count = |source: Source| unknown().filter(|member| member.source == source).count();
        let Some(greedy) = unknown().map(|member| member.source).max_by_key(|source| count(*source)) else {
            return false;
        };
        let oldest = unknown().find(|member| member.source == greedy).map(|member| member.task.clone());
        oldest.is_some_and(|oldest| {
            oldest.abort();
            self.forget(oldest.id());
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Source = Source::Loopback;
    const MODEST: Source = Source::V6([1; 4]);

    /// One for each source, with its task.
    fn crowd(sources: &[Source]) -> (Crowd, Vec<tokio::task::JoinHandle<()>>) {
        let mut crowd = Crowd::default();
        let tasks = sources.iter().map(|&source| {
            let task = tokio::spawn(std::future::pending());
            crowd.add(Member { source, task: task.abort_handle(), known: Known::default(), _place: None });
            task
        });
        let tasks = tasks.collect();
        (crowd, tasks)
    }

    #[tokio::test]
    async fn who_has_most_loses_its_oldest() {
        let (mut crowd, mut tasks) = crowd(&[MODEST, GREEDY, GREEDY]);
        assert!(crowd.make_room(None));
        assert!(tasks.remove(1).await.unwrap_err().is_cancelled());
        assert!(crowd.make_room(Some(MODEST)));
        assert!(tasks.remove(0).await.unwrap_err().is_cancelled());
        assert_eq!(crowd.len(), 1);
    }

    #[tokio::test]
    async fn who_has_shown_who_they_are_stays() {
        let (mut crowd, _tasks) = crowd(&[GREEDY, GREEDY, MODEST]);
        crowd.0[..2].iter().for_each(|member| member.known.note());
        assert!(!crowd.make_room(Some(GREEDY)));
        assert!(crowd.make_room(None) && !crowd.make_room(None));
        assert_eq!(crowd.len(), 2);
    }
}
