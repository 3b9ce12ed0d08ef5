//! Key sets at a URL, fetched from a server that fails in every way.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::future::join_all;
use onnward_telemetry::logging::LogFormat;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::super::jwks::NoKey;
use super::*;
use crate::fixtures::captured_log;
use crate::fixtures::issuer::{IssuerKey, claims, key_set, token_rules};

/// A response of the issuer's server.
#[derive(Clone)]
enum Answer {
    Set(String),
    Failure,
    Redirect(Url),
    Endless,
    Silence,
}

/// An issuer's server, and a verifier of its tokens.
struct Published {
    url: Url,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    auth: Arc<Authenticator>,
    tasks: [AbortHandle; 2],
}

impl Drop for Published {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Published {
    async fn new(answer: Answer) -> Self {
        onnward_repository::prepare_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let serving = tokio::spawn(serve(listener, Arc::clone(&answer), Arc::clone(&asked)));
        let rules = token_rules(JwksPlace::Url { url: url.clone(), refresh: seconds(300) });
        let auth = Arc::new(Authenticator::open(None, Some(rules)).unwrap().unwrap());
        let watching = tokio::spawn(Arc::clone(&auth).watch(Duration::from_secs(2)));
        Self { url, answer, asked, auth, tasks: [serving.abort_handle(), watching.abort_handle()] }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn identify(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        self.auth.identify(Credential::Bearer(token), Utc::now()).await
    }

    /// Waits until the server has received this number of requests, and the last response has been processed.
    async fn has_been_asked(&self, times: usize) {
        let tokens = self.auth.tokens.as_ref().unwrap();
        while self.asked() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokens.jwks().wait_for_refresh().await;
        assert_eq!(self.asked(), times);
    }
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<Answer>>, asked: Arc<AtomicUsize>) {
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(reply(connection, answer.lock().unwrap().clone()));
    }
}

async fn reply(mut connection: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await?);
    }
    let head = |status: &str, rest: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n{rest}\r\n");
    match answer {
        Answer::Set(text) => connection.write_all((head("200 OK", "") + &text).as_bytes()).await,
        Answer::Failure => connection.write_all(head("503 Service Unavailable", "").as_bytes()).await,
        Answer::Redirect(url) => {
            connection.write_all(head("302 Found", &format!("location: {url}\r\n")).as_bytes()).await
        }
        Answer::Endless => {
            connection.write_all(head("200 OK", "").as_bytes()).await?;
            loop {
                connection.write_all(&[b' '; 65_536]).await?;
            }
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// Advances the clock without waiting. Responses in between take real time.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const UNKNOWN: Refusal = Refusal::Token(TokenRefusal::NoKey(NoKey::UnknownId));

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn key(id: &str) -> IssuerKey {
    IssuerKey::new(TokenAlgorithm::Es256, id)
}

fn set(keys: &[&IssuerKey]) -> Answer {
    Answer::Set(key_set(keys))
}

#[tokio::test]
async fn a_new_key_is_fetched_as_soon_as_a_token_has_it_and_a_removed_one_opens_nothing() {
    let (old, new) = (key("old"), key("new"));
    let (old_token, new_token) = (old.token(&claims()), new.token(&claims()));
    let published = Published::new(set(&[&old])).await;
    // The first request arrives before the keys.
    assert!(published.identify(&old_token).await.is_ok());
    published.answers(set(&[&old, &new]));
    assert_eq!(published.identify(&new_token).await, Err(UNKNOWN));
    assert_eq!(published.asked(), 1);
    later(seconds(30)).await;
    assert!(published.identify(&new_token).await.is_ok());
    assert!(published.identify(&old_token).await.is_ok());
    assert_eq!(published.asked(), 2);
    published.answers(set(&[&new]));
    later(seconds(300)).await;
    published.has_been_asked(3).await;
    assert!(published.identify(&new_token).await.is_ok());
    assert_eq!(published.identify(&old_token).await, Err(UNKNOWN));
    assert_eq!(published.asked(), 3);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_of_requests() {
    let known = key("known");
    let published = Published::new(set(&[&known])).await;
    assert!(published.identify(&known.token(&claims())).await.is_ok());
    let flood: Vec<String> = (0..200).map(|id| key(&format!("made-up-{id}")).token(&claims())).collect();
    for expected in [1, 2, 3] {
        for _ in 0..2 {
            let answers = join_all(flood.iter().map(|token| published.identify(token))).await;
            assert!(answers.iter().all(|answer| *answer == Err(UNKNOWN)));
        }
        assert_eq!(published.asked(), expected);
        later(seconds(30)).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_no_fetch() {
    let (old, new) = (key("old"), key("new"));
    let published = Published::new(set(&[&old])).await;
    assert!(published.identify(&old.token(&claims())).await.is_ok());
    published.answers(set(&[&new]));
    later(seconds(30)).await;
    {
        let token = new.token(&claims());
        let mut request = pin!(published.identify(&token));
        // It starts to wait, and is dropped.
        poll_fn(|context| {
            assert!(request.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    published.has_been_asked(2).await;
    assert!(published.identify(&new.token(&claims())).await.is_ok());
}

#[tokio::test]
async fn whatever_the_address_answers_the_keys_that_were_fetched_stay() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let (good, evil) = (key("good"), key("evil"));
    let (token, forged) = (good.token(&claims()), evil.token(&claims()));
    let published = Published::new(set(&[&good])).await;
    assert!(published.identify(&token).await.is_ok());
    let elsewhere = Published::new(set(&[&evil])).await;
    assert!(elsewhere.identify(&forged).await.is_ok());
    let complaints = || {
        let log = log.text();
        let of_this = log.lines().filter(|line| line.contains(published.url.as_str()));
        of_this.filter(|line| line.contains("cannot be fetched")).count()
    };
    let mut asked = 1;
    for answer in [
        Answer::Failure,
        Answer::Set("<html>".to_owned()),
        Answer::Set(String::new()),
        Answer::Endless,
        Answer::Redirect(elsewhere.url.clone()),
        Answer::Silence,
    ] {
        let is_silent = matches!(answer, Answer::Silence);
        published.answers(answer);
        let before = complaints();
        // It is retried, and logged once.
        for _ in 0..2 {
            later(seconds(300)).await;
            asked += 1;
            while published.asked() < asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if is_silent {
                later(seconds(6)).await;
            }
            published.has_been_asked(asked).await;
        }
        assert_eq!(complaints(), before + 1, "{}", log.text());
        assert!(published.identify(&token).await.is_ok());
        assert_eq!(published.identify(&forged).await, Err(UNKNOWN));
        asked = published.asked();
    }
    published.answers(set(&[&good]));
    later(seconds(300)).await;
    published.has_been_asked(asked + 1).await;
    assert!(log.text().contains("can be fetched again"), "{}", log.text());
}

#[tokio::test]
async fn an_engine_starts_without_its_issuer_and_takes_tokens_once_it_is_there() {
    let good = key("good");
    let token = good.token(&claims());
    let published = Published::new(Answer::Failure).await;
    assert_eq!(published.identify(&token).await, Err(Refusal::Token(TokenRefusal::NoKeysYet)));
    assert_eq!(published.asked(), 1);
    published.answers(set(&[&good]));
    later(seconds(1)).await;
    published.has_been_asked(2).await;
    assert!(published.identify(&token).await.is_ok());
}

#[tokio::test]
async fn a_secret_that_is_published_signs_nothing() {
    let (secret, pair) = (IssuerKey::new(TokenAlgorithm::Hs256, "secret"), key("pair"));
    let published = Published::new(set(&[&secret, &pair])).await;
    assert!(published.identify(&pair.token(&claims())).await.is_ok());
    assert_eq!(published.identify(&secret.token(&claims())).await, Err(UNKNOWN));
}

#[tokio::test]
async fn what_looks_like_an_api_key_is_no_token_and_the_other_way_round() {
    let good = key("good");
    let published = Published::new(set(&[&good])).await;
    let token = good.token(&claims());
    let as_key = published.auth.identify(Credential::Key(&token), Utc::now()).await;
    assert_eq!(as_key, Err(Refusal::Unknown));
    assert_eq!(published.identify(&generate("alice").unwrap()).await, Err(Refusal::Unknown));
    assert!(published.identify(&token).await.is_ok());
}
