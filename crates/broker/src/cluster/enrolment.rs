//! A client on its way into the roll.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_codec::{Connect, ReasonCode};
use mqtt_hooks::{ConnectionInfo, EndRecord, Reason};
use mqtt_roll::{Down, Up};
use tokio::time::timeout;

use super::{Roll, Seated, letter};
use crate::packets::access::Refusal;
use crate::time::clock::wall_ms;

/// How long a client waits for the log to take it. One that is refused comes again, and then perhaps to a node that is better off.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that is in the roll, or on its way there. Dropped before it is [in](Self::close), it has gone.
pub(crate) struct Enrolment {
    roll: Arc<dyn Roll>,
    client: ByteString,
    conn: u64,
    /// What it is told to have ended by, if it never gets in.
    reason: Reason,
}

/// What became of it.
pub(crate) enum Enrolled {
    Here(Enrolment, Seated),
    /// It was in, and the same client came again before this one was told so.
    TakenOver,
}

impl Enrolment {
    /// Has it told to all that the client is in. Its will goes with that, so its session has none, unless it is too long.
    ///
    /// # Errors
    /// The cluster can't take it now.
    pub(crate) async fn begin(
        roll: &Arc<dyn Roll>,
        connect: &mut Connect,
        info: &ConnectionInfo,
        receive_maximum: u16,
    ) -> Result<Enrolled, Refusal> {
        let away = || Refusal::new(ReasonCode::ServerUnavailable, "the cluster can't be reached");
        let will = connect.will.as_ref().and_then(|will| {
            let message = letter::write_will(will)?;
            // [MQTT-3.1.3-9]: not later than its session ends.
            Some(mqtt_roll::Will { delay: will.delay.min(info.expiry_interval), message })
        });
        if let Some(caught_up) = roll.catching_up() {
            timeout(PATIENCE, caught_up).await.map_err(|_| away())?;
        }
        let (client, conn) = (ByteString::from(&*info.client_id), info.conn_id);
        let up = Up {
            client: client.clone(),
            conn,
            is_clean: info.clean_start,
            is_kept: info.expiry_interval > 0,
            at: wall_ms(),
            info: letter::write_info(info, receive_maximum),
            will,
        };
        if up.will.is_some() {
            connect.will = None;
        }
        let applied = roll.up(up).ok_or_else(away)?;
        let reason = Reason::Refused(ReasonCode::ServerUnavailable);
        let enrolment = Self { roll: Arc::clone(roll), client, conn, reason };
        // What is on its way may still arrive after this: dropping the enrolment takes it back.
        if !timeout(PATIENCE, applied).await.unwrap_or(false) {
            return Err(away());
        }
        let Some(seated) = enrolment.seated() else {
            enrolment.close();
            return Ok(Enrolled::TakenOver);
        };
        Ok(Enrolled::Here(enrolment, seated))
    }

    fn seated(&self) -> Option<Seated> {
        self.roll.seat(&self.client, self.conn)
    }

    /// Its connection is in the broker's table: from here on that one tells how it ends. Whether it is the client's by now; if not, who
    /// took it over, or ended all of this node, may not have found it there.
    pub(crate) fn close(self) -> bool {
        let is_seated = self.seated().is_some();
        // It owns nothing but a name and a handle.
        let mut done = self;
        done.client = ByteString::new();
        is_seated
    }
}

impl Drop for Enrolment {
    fn drop(&mut self) {
        if self.client.is_empty() {
            return;
        }
        let at = wall_ms();
        let end = EndRecord { reason: self.reason, reason_string: None, last_heard: at };
        let client = std::mem::take(&mut self.client);
        // It was never told that it is in, so it has no will either.
        self.roll.down(Down { client, conn: self.conn, at, with_will: false, reason: Bytes::from(end.to_record()) });
    }
}
