//! The two halves of a link in CopyBoth mode.
//!
//! They are independent: status updates go out while a read is waiting, and
//! while nobody reads at all.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::message::backend::{
    COPY_DATA_TAG, COPY_DONE_TAG, Message, READY_FOR_QUERY_TAG,
};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::error::ConnectError;
use super::frame::{FrameBuffer, RawFrame};
use super::message::ServerMessage;
use super::transport::Transport;
use super::wire::{describe, io_error};
use crate::config::Target;

const READING: &str = "reading the replication stream";
const WRITING: &str = "answering the replication stream";

/// Unsent bytes above which the writer waits before it takes more. Status
/// updates have some forty bytes; this only fills when the peer is stuck.
const UNSENT_MAX: usize = 64 * 1024;

/// What the server sends in CopyBoth mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The payload of a CopyData message: a slice of the read buffer, of
    /// which it keeps up to 256 KiB alive.
    CopyData(Bytes),
    /// A notice or warning. Some of them mean lost data: PostgreSQL 18 skips
    /// changes with only a warning when a publication is missing.
    Notice(ServerMessage),
    /// The server has sent everything it will send.
    CopyDone,
}

/// The receiving half of a link in CopyBoth mode.
#[derive(Debug)]
pub struct LinkReader {
    pub(super) stream: ReadHalf<Transport>,
    pub(super) frames: FrameBuffer,
    pub(super) target: Target,
    pub(super) phase: Phase,
}

/// How far the stream is. Set by the messages as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// CopyData may come.
    Streaming,
    /// CopyDone has come; what follows closes the command.
    Closing,
    /// The command is closed: nothing more will come.
    Ended,
}

impl LinkReader {
    /// Waits for the next frame; none once the server has ended the stream in
    /// an orderly way, after [`Frame::CopyDone`].
    ///
    /// Cancel safe: a frame is either returned or still to come.
    pub async fn next(&mut self) -> Result<Option<Frame>, ConnectError> {
        loop {
            if let Some(frame) = self.try_next_buffered()? {
                return Ok(Some(frame));
            }
            if self.phase == Phase::Ended {
                return Ok(None);
            }
            match self.frames.fill(&mut self.stream).await {
                Ok(0) if self.phase == Phase::Closing => return Ok(None),
                Ok(0) => {
                    return Err(ConnectError::Closed {
                        doing: READING,
                        target: self.target.clone(),
                    });
                }
                Ok(_) => {}
                Err(source) => return Err(io_error(&self.target, READING, source)),
            }
        }
    }

    /// The next frame if it has been read already; does not touch the socket.
    /// None means that everything received so far has been handed out.
    pub fn try_next_buffered(&mut self) -> Result<Option<Frame>, ConnectError> {
        while let Some(raw) = self
            .frames
            .next_frame()
            .map_err(|error| self.garbled(&error))?
        {
            match self.frame(raw)? {
                Some(frame) => return Ok(Some(frame)),
                None => continue,
            }
        }
        Ok(None)
    }

    /// The server read from.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What a message means here; none for those that only keep the books.
    fn frame(&mut self, raw: RawFrame) -> Result<Option<Frame>, ConnectError> {
        match raw.tag {
            COPY_DATA_TAG if self.phase == Phase::Streaming => {
                return Ok(Some(Frame::CopyData(raw.into_body())));
            }
            COPY_DONE_TAG => {
                self.phase = Phase::Closing;
                return Ok(Some(Frame::CopyDone));
            }
            READY_FOR_QUERY_TAG => {
                self.phase = Phase::Ended;
                return Ok(None);
            }
            _ => {}
        }
        match raw.parse().map_err(|error| self.garbled(&error))? {
            Message::NoticeResponse(body) => {
                Ok(Some(Frame::Notice(ServerMessage::parse(body.fields()))))
            }
            Message::ErrorResponse(body) => Err(ConnectError::Server {
                doing: READING.to_owned(),
                target: self.target.clone(),
                message: Box::new(ServerMessage::parse(body.fields())),
            }),
            Message::ParameterStatus(_) | Message::CommandComplete(_) => Ok(None),
            other => Err(ConnectError::Protocol {
                doing: READING,
                target: self.target.clone(),
                what: describe(&other).to_owned(),
            }),
        }
    }

    fn garbled(&self, error: &std::io::Error) -> ConnectError {
        ConnectError::Protocol {
            doing: READING,
            target: self.target.clone(),
            what: error.to_string(),
        }
    }
}

/// The sending half of a link in CopyBoth mode.
#[derive(Debug)]
pub struct LinkWriter {
    pub(super) stream: WriteHalf<Transport>,
    pub(super) unsent: BytesMut,
    pub(super) target: Target,
}

impl LinkWriter {
    /// Sends one CopyData message.
    ///
    /// Cancel safe: when dropped half-way, the rest of the message goes out
    /// before the next one, so the stream stays in step.
    pub async fn send_copy_data(&mut self, payload: &[u8]) -> Result<(), ConnectError> {
        if self.unsent.len() > UNSENT_MAX {
            self.flush().await?;
        }
        let length = payload
            .len()
            .checked_add(4)
            .and_then(|length| i32::try_from(length).ok());
        let Some(length) = length else {
            return Err(ConnectError::Misuse {
                target: self.target.clone(),
                why: "the message is longer than the protocol allows",
            });
        };
        self.unsent.reserve(payload.len() + 5);
        self.unsent.put_u8(COPY_DATA_TAG);
        self.unsent.put_i32(length);
        self.unsent.put_slice(payload);
        self.flush().await
    }

    /// Tells the server that we will send no more and asks it to end the
    /// stream; it answers with [`Frame::CopyDone`] once its own is sent.
    pub async fn copy_done(&mut self) -> Result<(), ConnectError> {
        frontend::copy_done(&mut self.unsent);
        self.flush().await
    }

    /// Says goodbye and closes the connection. To have the last status update
    /// taken into account, call [`Self::copy_done`] and read to the end first.
    pub async fn close(mut self) -> Result<(), ConnectError> {
        frontend::terminate(&mut self.unsent);
        self.flush().await?;
        let closed = self.stream.shutdown().await;
        closed.map_err(|source| io_error(&self.target, WRITING, source))
    }

    async fn flush(&mut self) -> Result<(), ConnectError> {
        let sent = async {
            while self.unsent.has_remaining() {
                if self.stream.write_buf(&mut self.unsent).await? == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
            }
            self.stream.flush().await
        };
        sent.await
            .map_err(|source| io_error(&self.target, WRITING, source))
    }
}
