//! Snapshots in a stream of their own, in pieces, for they may be longer than a message.

use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{self, DiscardPolicy, LastRawMessageErrorKind, StorageType, Stream};
use bytes::{Bytes, BytesMut};

use super::{NatsConfig, away};
use crate::LogError;

/// Of a piece: bytes.
const PIECE: usize = 512 * 1024;

/// The stream `ROLL_name_SNAPSHOTS`. A snapshot is whole when its last message is there, which says how many pieces came before it.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    context: Context,
    stream: Stream<()>,
    subject: String,
}

impl Snapshots {
    pub(super) async fn open(context: &Context, config: &NatsConfig) -> Result<Self, LogError> {
        let subject = format!("roll.{}.snapshots", config.cluster);
        let name = format!("ROLL_{}_SNAPSHOTS", config.cluster);
        let wanted = stream::Config {
            name: name.clone(),
            subjects: vec![format!("{subject}.>")],
            description: Some("What the roll came to".into()),
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_bytes: config.max_bytes,
            num_replicas: config.replicas,
            ..stream::Config::default()
        };
        context.get_or_create_stream(wanted).await.map_err(away)?;
        let stream = context.get_stream_no_info(name).await.map_err(away)?;
        Ok(Self { context: context.clone(), stream, subject })
    }

    pub(super) async fn save(&self, position: u64, snapshot: Bytes) -> Result<(), LogError> {
        let mut first = None;
        let mut pieces = 0;
        for piece in snapshot.chunks(PIECE) {
            let subject = format!("{}.{position}.{pieces}", self.subject);
            let answer = self.context.publish(subject, snapshot.slice_ref(piece)).await.map_err(away)?;
            let sequence = answer.await.map_err(away)?.sequence;
            first.get_or_insert(sequence);
            pieces += 1;
        }
        let subject = format!("{}.{position}.whole", self.subject);
        let answer = self.context.publish(subject, pieces.to_string().into()).await.map_err(away)?;
        answer.await.map_err(away)?;
        // The one before, and what others began and did not end.
        if let Some(first) = first {
            self.stream.purge().sequence(first).await.map_err(away)?;
        }
        Ok(())
    }

    pub(super) async fn load(&self) -> Result<Option<Bytes>, LogError> {
        let Some(whole) = self.last(&format!("{}.*.whole", self.subject)).await? else { return Ok(None) };
        let pieces = str::from_utf8(&whole.payload).ok().and_then(|number| number.parse::<u64>().ok());
        let pieces = pieces.ok_or_else(|| LogError::Away("a snapshot has no length".into()))?;
        let begin = whole.subject.strip_suffix("whole").unwrap_or_default();
        let mut snapshot = BytesMut::new();
        for piece in 0..pieces {
            // When it is gone there is a newer one.
            let piece = self.last(&format!("{begin}{piece}")).await?;
            snapshot.extend_from_slice(&piece.ok_or_else(|| LogError::Away("a piece is gone".into()))?.payload);
        }
        Ok(Some(snapshot.freeze()))
    }

    async fn last(&self, subject: &str) -> Result<Option<async_nats::jetstream::message::StreamMessage>, LogError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(why) if why.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(why) => Err(away(why)),
        }
    }
}
