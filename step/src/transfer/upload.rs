//! Content on its way into the store: no more of it is in memory than a few parts.

use object_store::path::Path as Key;
use object_store::{ObjectStoreExt as _, WriteMultipart};

use super::TransferError;
use crate::limits::{PART_BYTES_MIN, PARTS_AT_ONCE, PARTS_MAX, UPLOAD_BYTES_MAX};
use crate::store::Store;

/// Content on its way: in one request, or if it is larger than a part, in several.
pub(super) struct Upload<'s> {
    store: &'s Store,
    key: Key,
    part: usize,
    /// The first part, while it may be the only one.
    first: Vec<u8>,
    parts: Option<WriteMultipart>,
}

impl<'s> Upload<'s> {
    /// One of about so many bytes; it sends nothing yet.
    pub(super) fn new(store: &'s Store, key: &str, bytes: u64) -> Self {
        Self {
            store,
            key: Key::from(key),
            part: part_bytes(bytes),
            first: Vec::new(),
            parts: None,
        }
    }

    pub(super) async fn put(&mut self, block: Vec<u8>) -> Result<(), TransferError> {
        let failed = |error: object_store::Error| TransferError::of_store(self.store, &error);
        let at_once = (UPLOAD_BYTES_MAX / self.part).clamp(1, PARTS_AT_ONCE);
        if let Some(parts) = &mut self.parts {
            parts.wait_for_capacity(at_once).await.map_err(failed)?;
            parts.put(block.into());
            return Ok(());
        }
        self.first.extend(block);
        if self.first.len() > self.part {
            let upload = self.store.objects.put_multipart(&self.key).await;
            let upload = upload.map_err(failed)?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, self.part);
            parts.put(std::mem::take(&mut self.first).into());
            self.parts = Some(parts);
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), TransferError> {
        let failed = |error: object_store::Error| TransferError::of_store(self.store, &error);
        match self.parts.take() {
            Some(parts) => parts.finish().await.map(drop),
            None => {
                let whole = std::mem::take(&mut self.first);
                self.store
                    .objects
                    .put(&self.key, whole.into())
                    .await
                    .map(drop)
            }
        }
        .map_err(failed)
    }

    pub(super) async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            // Parts that stay are deleted by the bucket's own rules.
            let _ = parts.abort().await;
        }
    }
}

/// What was interrupted leaves nothing in the store.
impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) =
            (self.parts.take(), tokio::runtime::Handle::try_current())
        {
            self.store.abort_later(runtime.spawn(async move {
                let _ = parts.abort().await;
            }));
        }
    }
}

/// Bytes of one part, so that there are not too many.
pub(super) fn part_bytes(bytes: u64) -> usize {
    let least = bytes.div_ceil(PARTS_MAX);
    let least = usize::try_from(least).unwrap_or(usize::MAX);
    least.max(PART_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_small_as_their_number_allows() {
        let table = [
            (0, PART_BYTES_MIN),
            (5_000_000_000, PART_BYTES_MIN),
            (90_000_000_000, 10_000_000),
        ];
        for (bytes, expected) in table {
            assert_eq!(part_bytes(bytes), expected, "{bytes}");
        }
    }
}
