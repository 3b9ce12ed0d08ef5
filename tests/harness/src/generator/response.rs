//! Reads the answers on one connection, one after the other. Of each it keeps the status, whether another may
//! follow, and the body on request.

use std::io::{self, ErrorKind, Read};

/// The size of the buffer. A head must fit.
const BUFFER: usize = 16 * 1024;
/// The most headers of an answer.
const MAX_HEADERS: usize = 64;

/// A reader of the answers on one connection, with the state of the answer that is being read.
#[derive(Debug)]
pub struct ResponseReader {
    buffer: Box<[u8]>,
    /// The number of bytes of an unfinished head in the buffer.
    filled: usize,
    /// The parsed head, once it is complete, and how many bytes of the body are missing.
    body: Option<(Answered, usize)>,
    /// Whether bodies are kept, for [`ResponseReader::take_body`].
    keeps_bodies: bool,
    kept: Vec<u8>,
}

/// An answer, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Whether the server closes the connection after it.
    pub is_last: bool,
}

impl ResponseReader {
    /// Returns a reader at the beginning of an answer.
    pub fn new(keeps_bodies: bool) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, filled: 0, body: None, keeps_bodies, kept: Vec::new() }
    }

    /// Returns whether bodies are kept.
    pub fn keeps_bodies(&self) -> bool {
        self.keeps_bodies
    }

    /// Reads what is available. Returns the answer once it is complete, `None` while a part is missing.
    ///
    /// # Errors
    /// The connection's; [`ErrorKind::UnexpectedEof`] if it was closed; [`ErrorKind::InvalidData`] if what
    /// comes is no answer of HTTP/1.1 with a `Content-Length`.
    pub fn read(&mut self, stream: &mut impl Read) -> io::Result<Option<Answered>> {
        loop {
            let start = if self.body.is_some() { 0 } else { self.filled };
            let Some(free) = self.buffer.get_mut(start..).filter(|free| !free.is_empty()) else {
                return Err(invalid("the head of an answer is too long"));
            };
            let count = match stream.read(free) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if let Some(answered) = self.take(count)? {
                return Ok(Some(answered));
            }
        }
    }

    /// Returns the body of the last answer, if bodies are kept.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }

    /// Processes `count` bytes that were read. Returns the answer if they complete it.
    fn take(&mut self, count: usize) -> io::Result<Option<Answered>> {
        let (answered, missing, body) = match self.body {
            Some((answered, missing)) => (answered, missing, 0..count),
            None => {
                self.filled += count;
                let seen = self.buffer.get(..self.filled).unwrap_or_default();
                let Some(head) = Head::parse(seen)? else { return Ok(None) };
                (head.answered, head.content_length, head.len..self.filled)
            }
        };
        // Requests are sent one at a time, so nothing may follow the answer.
        let missing =
            missing.checked_sub(body.len()).ok_or_else(|| invalid("an answer is longer than it says"))?;
        if self.keeps_bodies {
            self.kept.extend_from_slice(self.buffer.get(body).unwrap_or_default());
        }
        self.filled = 0;
        self.body = (missing > 0).then_some((answered, missing));
        Ok((missing == 0).then_some(answered))
    }
}

struct Head {
    answered: Answered,
    len: usize,
    content_length: usize,
}

impl Head {
    /// Parses a head; `None` if it is not complete.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = response.parse(bytes).map_err(invalid)? else {
            return Ok(None);
        };
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(std::str::from_utf8(header.value).ok()?.trim())
        };
        let length = value("content-length").and_then(|length| length.parse().ok());
        let content_length = length.ok_or_else(|| invalid("an answer has no Content-Length"))?;
        let is_last = value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let answered = Answered { status: response.code.unwrap_or_default(), is_last };
        Ok(Some(Self { answered, len, content_length }))
    }
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one piece at each read, and would block in between.
    struct Pieces<'a>(Vec<&'a [u8]>, bool);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 || self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn statuses(bytes: &[u8], piece: usize) -> Vec<u16> {
        let mut reader = ResponseReader::new(false);
        let mut stream = Pieces(bytes.chunks(piece).collect(), true);
        let mut statuses = Vec::new();
        while !stream.0.is_empty() {
            statuses.extend(reader.read(&mut stream).unwrap().map(|answered| answered.status));
        }
        statuses
    }

    #[test]
    fn an_answer_is_read_in_whatever_pieces_it_comes() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 5\r\n\r\nhello";
        for piece in 1..=answer.len() {
            assert_eq!(statuses(answer, piece), [200], "in pieces of {piece}");
        }
    }

    #[test]
    fn bodies_are_kept_on_request() {
        let answers = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        for keeps_bodies in [false, true] {
            let mut reader = ResponseReader::new(keeps_bodies);
            let mut stream = Pieces(answers.chunks(1).collect(), true);
            let mut bodies = Vec::new();
            while !stream.0.is_empty() {
                bodies.extend(reader.read(&mut stream).unwrap().map(|_| reader.take_body()));
            }
            let expected: [&[u8]; 2] = if keeps_bodies { [b"hello", b"{}"] } else { [b"", b""] };
            assert_eq!(bodies, expected);
        }
    }

    #[test]
    fn answers_follow_each_other_and_may_be_empty() {
        let answers = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n\
                        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(statuses(answers, 1), [429, 200]);
    }

    #[test]
    fn an_answer_may_say_that_it_is_the_last() {
        for (header, is_last) in
            [("x: close", false), ("connection: keep-alive", false), ("Connection: Close", true)]
        {
            let answer = format!("HTTP/1.1 429 Too Many Requests\r\n{header}\r\ncontent-length: 0\r\n\r\n");
            let answered =
                ResponseReader::new(false).read(&mut Pieces(vec![answer.as_bytes()], true)).unwrap();
            assert_eq!(answered, Some(Answered { status: 429, is_last }), "{header}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ntoo much",
        ] {
            let mut reader = ResponseReader::new(false);
            let error = reader.read(&mut Pieces(vec![bytes], true)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }
}
