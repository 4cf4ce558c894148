//! The online/offline notification.
