//! Why deliveries are dropped.

use mqtt_hooks::DropReason;

/// As modules know it.
pub(crate) const fn of(reason: mqtt_session::DropReason) -> DropReason {
    match reason {
        mqtt_session::DropReason::QueueFull => DropReason::QueueFull,
        mqtt_session::DropReason::Offline => DropReason::Offline,
        mqtt_session::DropReason::OutboxFull => DropReason::OutboxFull,
        mqtt_session::DropReason::TooLarge => DropReason::TooLarge,
        mqtt_session::DropReason::Expired => DropReason::Expired,
    }
}
