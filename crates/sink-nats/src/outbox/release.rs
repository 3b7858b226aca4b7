//! Releasing messages for sending: how many go together, and what of a message that decides.

use super::{BATCH_LEN_MAX, Due, Mode, Outbox, REPLY_TAIL_LEN, write_decimal};

/// Messages of an atomic batch at most: what servers allow unless they are told otherwise (`jetstream.limits.batch.max_msgs`).
pub(crate) const ATOMIC_LEN_MAX: usize = 1000;
/// Transactions are put together into one atomic batch up to this many bytes: it becomes visible only when all of it has arrived.
const ATOMIC_BYTES: usize = 256 * 1024;

/// Messages that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Each becomes visible when it is stored.
    Plain(usize),
    /// All become visible at once.
    Atomic(usize),
}

/// What a message is to the server.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// One of its own.
    Single,
    /// Part of a fast-ingest batch: its number there, from 1, and its operation.
    Batched(usize, u8),
    /// Part of an atomic batch: its number there, from 1, and whether it is the last.
    Atomic(usize, bool),
}

impl Outbox {
    /// How many messages may be released now.
    pub(crate) fn releasable(&self) -> usize {
        let waiting = self.entries.len() - self.released;
        if !self.atomic || self.is_inside() {
            waiting
        } else if self.whole > self.released {
            self.whole - self.released
        } else if waiting >= ATOMIC_LEN_MAX || self.released == 0 && !self.has_room() {
            // A transaction that is too large to become visible as a whole.
            waiting
        } else {
            0
        }
    }

    /// Releases what may be: fills in the reply subjects and notes which acknowledgements are due.
    pub(crate) fn release(&mut self, mode: Mode) {
        while let Some(group) = self.next_group() {
            match group {
                Group::Atomic(count) => {
                    let roles = (1..=count).map(|n| Role::Atomic(n, n == count));
                    self.release_group(roles);
                }
                Group::Plain(count) if mode == Mode::Batched => {
                    let count = count.min(BATCH_LEN_MAX);
                    let role = |n| {
                        let op = match n {
                            n if n == count => b'2',
                            1 => b'0',
                            _ => b'1',
                        };
                        Role::Batched(n, op)
                    };
                    self.release_group((1..=count).map(role));
                }
                Group::Plain(_) => self.release_group(std::iter::once(Role::Single)),
            }
        }
        if self.released == self.entries.len() {
            self.unreleased_size_max = 0;
        }
    }

    /// What goes next, if something may.
    fn next_group(&self) -> Option<Group> {
        let releasable = self.releasable();
        if releasable == 0 || !self.atomic {
            return (releasable > 0).then_some(Group::Plain(releasable));
        }
        let entries = || {
            self.entries
                .range(self.released..self.released + releasable)
        };
        if self.is_inside() {
            // The beginning of the transaction is visible already.
            let rest = entries().position(|entry| entry.ends);
            return Some(Group::Plain(rest.map_or(releasable, |last| last + 1)));
        }
        let (mut count, mut bytes) = (0, 0);
        for (index, entry) in entries().enumerate() {
            bytes += entry.len;
            if count > 0 && (index >= ATOMIC_LEN_MAX || bytes > ATOMIC_BYTES) {
                break;
            }
            if entry.ends {
                count = index + 1;
            }
        }
        Some(match count {
            0 => Group::Plain(releasable),
            1 => Group::Plain(1),
            count if count > ATOMIC_LEN_MAX => Group::Plain(count),
            count => Group::Atomic(count),
        })
    }

    /// Whether the message in front of the next one to be released is in the midst of a transaction.
    fn is_inside(&self) -> bool {
        let before = self.released.checked_sub(1);
        let before = before.and_then(|index| self.entries.get(index));
        !before.map_or(self.ended, |entry| entry.ends)
    }

    /// Releases messages that are acknowledged together.
    fn release_group(&mut self, roles: impl Iterator<Item = Role>) {
        self.batch = self.batch.wrapping_add(1);
        let (before, bytes_before) = (self.released, self.released_bytes);
        for role in roles {
            self.assign(self.released, role);
            let entry = self.entries.get(self.released);
            self.released_bytes += entry.map_or(0, |entry| entry.len);
            self.released += 1;
        }
        self.due.push_back(Due {
            through: self.first + self.released as u64 - 1,
            count: self.released - before,
            bytes: self.released_bytes - bytes_before,
        });
    }

    /// Writes what a message is to the server into its bytes.
    fn assign(&mut self, index: usize, role: Role) {
        let Some(entry) = self.entries.get(index).copied() else {
            return;
        };
        let chunk = usize::try_from(entry.chunk - self.first_chunk)
            .ok()
            .and_then(|index| self.chunks.get_mut(index));
        let Some(message) = chunk.and_then(|chunk| chunk.get_mut(entry.range())) else {
            return;
        };
        let reply = entry.reply - self.inbox.len() - 1..entry.reply + REPLY_TAIL_LEN;
        let Some(reply) = message.get_mut(reply) else {
            return;
        };
        let (salt, epoch, batch) = (self.salt.as_bytes(), hex(self.epoch), hex(self.batch));
        let (n, op, mark) = match role {
            Role::Single | Role::Atomic(_, true) => (1, b'2', b"one"),
            Role::Batched(n, op) => (n, op, b"$FI"),
            Role::Atomic(_, false) => (0, b' ', b"   "),
        };
        if n == 0 {
            reply.fill(b' ');
        } else {
            let (inbox, digits) = (self.inbox.as_bytes(), decimal(n));
            let tail = [b'.', op, b'.'];
            let parts = [
                inbox,
                b".",
                &epoch,
                b".",
                salt,
                &epoch,
                &batch,
                b".500.fail.",
                &digits,
                &tail,
                mark,
            ];
            put(reply, &parts);
        }
        if !self.atomic {
            return;
        }
        let (n, is_last) = match role {
            Role::Single | Role::Batched(..) => (0, false),
            Role::Atomic(n, is_last) => (n, is_last),
        };
        let name = |counts: bool| if counts { b"Nats" } else { b"Adit" };
        if let Some(field) = message.get_mut(entry.expected..) {
            put(field, &[name(n <= 1)]);
        }
        if let Some(field) = message.get_mut(entry.batch..) {
            let (name, last) = (name(n > 0), name(is_last));
            let digits = decimal(n);
            let id = [b"\r\n", &name[..], b"-Batch-Id: ", salt, &epoch, &batch];
            let rest = [
                b"\r\n",
                &name[..],
                b"-Batch-Sequence: ",
                &digits,
                b"\r\n",
                last,
            ];
            put(put(field, &id), &rest);
        }
    }
}

fn decimal(n: usize) -> [u8; 5] {
    let mut digits = [b'0'; 5];
    write_decimal(n as u64, &mut digits);
    digits
}

/// Writes parts one behind the other at the beginning of a field, and returns the rest of it.
fn put<'a>(mut field: &'a mut [u8], parts: &[&[u8]]) -> &'a mut [u8] {
    for part in parts {
        let (head, tail) = std::mem::take(&mut field).split_at_mut(part.len());
        head.copy_from_slice(part);
        field = tail;
    }
    field
}

fn hex(value: u32) -> [u8; 8] {
    let mut out = [b'0'; 8];
    for (place, shift) in out.iter_mut().zip((0..8).rev()) {
        let nibble = (value >> (4 * shift) & 0xf) as u8;
        *place = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        };
    }
    out
}
