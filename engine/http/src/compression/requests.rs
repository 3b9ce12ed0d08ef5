//! Decompresses the bodies of requests.
//!
//! A body is decompressed when it has arrived whole. So a client that sends slowly keeps no decompressor with its
//! window in memory, only its bytes. What a body becomes is written piece by piece, and is bounded and reserved
//! as a body is that arrives in this size.

use std::io::{ErrorKind, Read};

use axum::body::Bytes;
use bytes::Buf;
use flate2::bufread::MultiGzDecoder;
use tokio::sync::OwnedSemaphorePermit;

use super::Coding;
use crate::admission::body::{ReadBody, SMALL_BODY_BYTES};
use crate::admission::large_bodies::LARGE_BODY_BYTES;
use crate::problem::ApiError;
use crate::state::{Admission, extend_reservation};

/// The largest body that is decompressed where connections are served: even if it is all headers without
/// content, it takes no longer there than [`LARGE_BODY_BYTES`] of content.
const INLINE_BYTES: usize = 16 * 1024;
/// The memory that is first reserved for the content, and the factor by which it grows.
const INITIAL_BYTES: usize = 8 * 1024;
const GROWTH: usize = 4;
/// The largest window of zstd as a content coding: 8 MiB (RFC 9659).
const MAX_ZSTD_WINDOW_LOG: u32 = 23;
const MAX_ZSTD_WINDOW_MIB: u32 = (1 << MAX_ZSTD_WINDOW_LOG) / 1024 / 1024;

/// The content of a body, as far as it is decompressed.
struct Decompression {
    coding: Coding,
    source: Box<dyn Read + Send>,
    /// The content, and room for more.
    content: Vec<u8>,
    len: usize,
    limit: usize,
    /// The memory reserved for the content and the room.
    memory: OwnedSemaphorePermit,
}

/// Decompresses a body that has arrived whole. A large one is decompressed where large ones are parsed.
///
/// # Errors
/// [`ApiError::ContentTooLarge`] if the content exceeds the limit of bodies; [`ApiError::BadCompression`]
/// if it is damaged; [`ApiError::BodyEmpty`]; [`ApiError::BodiesFull`] if there is no memory or no permit.
pub async fn decompress(
    admission: &Admission,
    coding: Coding,
    ReadBody { bytes, permits }: ReadBody,
) -> Result<ReadBody, ApiError> {
    let is_inline = bytes.len() <= INLINE_BYTES;
    let mut content = Decompression::begin(admission, coding, bytes, is_inline)?;
    let (content, mut permits) = if is_inline && content.run_inline(admission)? {
        (content, permits)
    } else {
        let run = move || {
            content.run(usize::MAX)?;
            Ok(content)
        };
        admission.large_body_limiter.parse(permits, run).await?
    };
    let Decompression { mut content, len, memory, .. } = content;
    content.truncate(len);
    if content.is_empty() {
        return Err(ApiError::BodyEmpty);
    }
    permits.memory = memory;
    Ok(ReadBody { bytes: content.into(), permits })
}

impl Decompression {
    fn begin(admission: &Admission, coding: Coding, bytes: Bytes, is_small: bool) -> Result<Self, ApiError> {
        let limit = admission.max_body_bytes;
        let room = INITIAL_BYTES.min(limit + 1);
        let memory = admission.reserve_memory(room, is_small)?;
        let failed = |error: std::io::Error| ApiError::Failed { reason: error.to_string() };
        let source: Box<dyn Read + Send> = match coding {
            Coding::Gzip => Box::new(MultiGzDecoder::new(bytes.reader())),
            Coding::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(bytes.reader()).map_err(failed)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(failed)?;
                Box::new(decoder)
            }
        };
        Ok(Self { coding, source, content: vec![0; room], len: 0, limit, memory })
    }

    /// Decompresses a small body. Returns `false` if its content is large, and not at its end.
    fn run_inline(&mut self, admission: &Admission) -> Result<bool, ApiError> {
        if self.run(SMALL_BODY_BYTES)? {
            return Ok(true);
        }
        // Small bodies have memory of their own, which large content must not take.
        self.memory = admission.reserve_memory(self.content.len(), false)?;
        self.run(LARGE_BODY_BYTES)
    }

    /// Decompresses to the end, or until there is no room within `max_room`. Returns whether the end is reached.
    fn run(&mut self, max_room: usize) -> Result<bool, ApiError> {
        loop {
            let Some(room) = self.content.get_mut(self.len..).filter(|room| !room.is_empty()) else {
                if self.len > self.limit {
                    return Err(ApiError::ContentTooLarge { limit: self.limit });
                }
                if self.content.len() >= max_room {
                    return Ok(false);
                }
                self.grow(max_room)?;
                continue;
            };
            match self.source.read(room) {
                Ok(0) if self.len > self.limit => {
                    return Err(ApiError::ContentTooLarge { limit: self.limit });
                }
                Ok(0) => return Ok(true),
                Ok(read) => self.len += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.damaged(&error)),
            }
        }
    }

    /// Makes room for more content, at most one byte beyond the limit.
    fn grow(&mut self, max_room: usize) -> Result<(), ApiError> {
        let now = self.content.len();
        let room = now.saturating_mul(GROWTH).min(max_room).min(self.limit + 1);
        extend_reservation(&mut self.memory, room - now)?;
        self.content.resize(room, 0);
        Ok(())
    }

    fn damaged(&self, error: &std::io::Error) -> ApiError {
        let reason = match (error.kind(), self.coding) {
            (ErrorKind::UnexpectedEof, _) => "it ends early, or something follows its end".to_owned(),
            (_, Coding::Gzip) => error.to_string(),
            (_, Coding::Zstd) => {
                format!(
                    "{error} (without a dictionary, and with a window of at most {MAX_ZSTD_WINDOW_MIB} MiB)"
                )
            }
        };
        ApiError::BadCompression { coding: self.coding.name(), reason }
    }
}
