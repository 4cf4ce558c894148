//! Listeners started and stopped by an operator.

use mqtt_net::Listener;
use mqtt_operate::ListenerError;

use crate::coming::doors::Doors;

pub(super) fn start(doors: &Doors, name: &str) -> Result<(), ListenerError> {
    doors.with_listener(name, |listener| {
        if listener.is_open() {
            return Err(ListenerError::AlreadyStarted);
        }
        open(listener)
    })
}

pub(super) fn stop(doors: &Doors, name: &str) -> Result<(), ListenerError> {
    doors.with_listener(name, |listener| {
        if !listener.close() {
            return Err(ListenerError::NotStarted);
        }
        tracing::info!(listener = name, address = %listener.address(), "stopped; nobody comes in by it");
        Ok(())
    })
}

/// One that is stopped is started: so a restart that failed can be asked for again.
pub(super) fn restart(doors: &Doors, name: &str) -> Result<(), ListenerError> {
    doors.with_listener(name, |listener| {
        listener.close();
        open(listener)
    })
}

fn open(listener: &Listener) -> Result<(), ListenerError> {
    let (name, address) = (listener.name(), listener.address());
    if let Err(source) = listener.open() {
        tracing::error!(listener = name, %address, error = %source, "cannot be started; nobody comes in by it");
        return Err(ListenerError::Bind { address: address.to_string(), source });
    }
    tracing::info!(listener = name, %address, "started");
    Ok(())
}
