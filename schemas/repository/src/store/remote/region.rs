//! The region of a bucket. A store of several regions refuses a request that is signed for another one, and tells
//! the right one. The bucket is then opened again for that region, and the request is sent once more.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::error::told_region;

/// The header in which a store tells the region of a bucket.
pub const BUCKET_REGION: &str = "x-amz-bucket-region";

/// The region that a store told last, as the HTTP client has seen it.
#[derive(Debug, Clone, Default)]
pub struct ToldRegion(Arc<Mutex<Option<String>>>);

impl ToldRegion {
    /// Keeps what a response tells.
    pub fn tell(&self, region: &str) {
        *self.lock() = Some(region.to_owned());
    }

    fn take(&self) -> Option<String> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An S3 store that follows its bucket into another region. A clone shares what is known.
#[derive(Debug, Clone)]
pub struct RegionalS3 {
    builder: Arc<AmazonS3Builder>,
    current: Arc<Mutex<Current>>,
    told: ToldRegion,
}

#[derive(Debug)]
struct Current {
    store: Arc<AmazonS3>,
    /// The region that was told, once one was.
    region: Option<String>,
}

impl RegionalS3 {
    /// Opens the store. No request is sent yet.
    pub fn open(builder: AmazonS3Builder, told: ToldRegion) -> Result<Self> {
        let store = Arc::new(builder.clone().build()?);
        let current = Arc::new(Mutex::new(Current { store, region: None }));
        Ok(Self { builder: Arc::new(builder), current, told })
    }

    fn store(&self) -> Arc<AmazonS3> {
        Arc::clone(&self.lock().store)
    }

    /// Returns the store for another region, if that is what an error is about.
    fn corrected(&self, error: &Error) -> Option<Arc<AmazonS3>> {
        let region = self.told.take().or_else(|| told_region(error))?;
        let mut current = self.lock();
        if current.region.as_ref() == Some(&region) {
            return None;
        }
        let store = Arc::new(self.builder.as_ref().clone().with_region(&region).build().ok()?);
        tracing::warn!(region, "the bucket is in another region, which is used: name it with s3.region");
        *current = Current { store: Arc::clone(&store), region: Some(region) };
        Some(store)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the store to which a request must be sent again.
    fn next<T>(&self, sent: &Result<T>) -> Option<Arc<AmazonS3>> {
        sent.as_ref().err().and_then(|error| self.corrected(error))
    }

    /// Begins a listing, and once more in the right region.
    fn listing(
        &self,
        list: impl Fn(&AmazonS3) -> BoxStream<'static, Result<ObjectMeta>> + Send + 'static,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let begun = async move {
            let mut files = list(&this.store());
            match files.next().await {
                Some(Err(error)) => match this.corrected(&error) {
                    Some(store) => list(&store),
                    None => stream::once(async { Err(error) }).boxed(),
                },
                Some(Ok(first)) => stream::once(async { Ok(first) }).chain(files).boxed(),
                None => stream::empty().boxed(),
            }
        };
        stream::once(begun).flatten().boxed()
    }
}

impl fmt::Display for RegionalS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store().fmt(f)
    }
}

#[async_trait]
impl ObjectStore for RegionalS3 {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let sent = self.store().put_opts(path, payload.clone(), options.clone()).await;
        let Some(store) = self.next(&sent) else { return sent };
        store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let sent = self.store().put_multipart_opts(path, options.clone()).await;
        let Some(store) = self.next(&sent) else { return sent };
        store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let sent = self.store().get_opts(path, options.clone()).await;
        let Some(store) = self.next(&sent) else { return sent };
        store.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // Whatever is deleted was listed before, and so the region is known.
        self.store().delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.listing(move |store| store.list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.listing(move |store| store.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let sent = self.store().list_with_delimiter(prefix).await;
        let Some(store) = self.next(&sent) else { return sent };
        store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let sent = self.store().copy_opts(from, to, options.clone()).await;
        let Some(store) = self.next(&sent) else { return sent };
        store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::config::{RepositoryConfig, S3Config};
    use crate::store::Repository;

    /// Serves a bucket of the region `there`, which is told in this way.
    async fn store(listener: TcpListener, refusal: &'static str) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.unwrap_or(0) > 0 {
                    let text = String::from_utf8_lossy(&head).into_owned();
                    if !text.ends_with("\r\n\r\n") {
                        continue;
                    }
                    head.clear();
                    let is_signed_for_it = text.contains("/there/s3/");
                    let answer = match text.split(' ').nth(1).unwrap_or_default() {
                        _ if !is_signed_for_it => refusal.to_owned(),
                        path if path.contains("list-type=2") => ok(
                            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
                             <KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
                        ),
                        _ => ok("found"),
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    }

    fn ok(body: &str) -> String {
        let headers = "etag: \"1\"\r\nlast-modified: Mon, 30 Nov 2026 12:00:00 GMT";
        format!("HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_bucket_in_another_region_is_read_there_however_the_store_tells_it() {
        for refusal in [
            "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: there\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 86\r\n\r\n<Error><Code>AuthorizationHeaderMalformed</Code>\
             <Region>there</Region></Error>        ",
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
            let server = tokio::spawn(store(listener, refusal));
            let s3 = S3Config {
                endpoint,
                region: Some("here".to_owned()),
                access_key_id: Some("key".into()),
                secret_access_key: Some("secret".into()),
                allow_http: Some(true),
                ..S3Config::default()
            };
            let config =
                RepositoryConfig { location: "s3://b/models".into(), s3, ..RepositoryConfig::default() };
            let repository = Repository::open(&config).unwrap();
            assert!(repository.models().await.unwrap().is_empty());
            let repository = Repository::open(&config).unwrap();
            let found = repository.store().get(&"file".into()).await.unwrap();
            assert_eq!(found.bytes().await.unwrap(), "found");
            server.abort();
        }
    }
}
