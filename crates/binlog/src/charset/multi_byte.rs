//! Character sets whose characters have one byte or several: those of China, Japan and Korea.

use encoding_rs::{BIG5, DecoderResult, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

use super::corrections::{self, Corrections};
use super::{NotText, unassigned};

/// How the characters of one of them are told apart and converted.
#[derive(Debug)]
pub(super) struct MultiByte {
    /// The bytes of the character at the start, which is not ASCII; `None` where the servers see none
    /// and so would not have stored it.
    len: fn(&[u8]) -> Option<usize>,
    /// What the servers convert otherwise than `encoding`.
    own: fn(&[u8]) -> Option<char>,
    encoding: &'static Encoding,
}

pub(super) static BIG_5: MultiByte = MultiByte {
    len: |bytes| {
        pair(
            bytes,
            0xa1..=0xf9,
            |trail| matches!(trail, 0x40..=0x7e | 0xa1..=0xfe),
        )
    },
    own: |code| in_pairs(code, corrections::BIG5),
    encoding: BIG5,
};

pub(super) static GB_2312: MultiByte = MultiByte {
    len: |bytes| pair(bytes, 0xa1..=0xf7, |trail| matches!(trail, 0xa1..=0xfe)),
    own: |code| in_pairs(code, corrections::GB2312),
    encoding: GBK,
};

pub(super) static GBK_: MultiByte = MultiByte {
    len: gbk_len,
    own: |_| None,
    encoding: GBK,
};

pub(super) static GB_18030: MultiByte = MultiByte {
    len: |bytes| match *bytes {
        [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..] => Some(4),
        _ => gbk_len(bytes),
    },
    own: |code| in_pairs(code, corrections::GB18030),
    encoding: GB18030,
};

pub(super) static SJIS: MultiByte = MultiByte {
    len: sjis_len,
    own: |code| in_pairs(code, corrections::SJIS),
    encoding: SHIFT_JIS,
};

pub(super) static CP932: MultiByte = MultiByte {
    len: sjis_len,
    own: |_| None,
    encoding: SHIFT_JIS,
};

pub(super) static UJIS: MultiByte = MultiByte {
    len: euc_jp_len,
    own: |code| {
        match code {
            [0x8f, rest @ ..] => in_pairs(rest, corrections::UJIS_TRIPLES),
            _ => in_pairs(code, corrections::UJIS),
        }
        .or_else(|| user_defined(code))
    },
    encoding: EUC_JP,
};

pub(super) static EUCJPMS: MultiByte = MultiByte {
    len: euc_jp_len,
    own: |code| {
        match code {
            [0x8f, rest @ ..] => {
                in_pairs(rest, corrections::EUCJPMS_TRIPLES).or_else(|| extension(rest))
            }
            _ => None,
        }
        .or_else(|| user_defined(code))
    },
    encoding: EUC_JP,
};

pub(super) static EUCKR: MultiByte = MultiByte {
    len: |bytes| {
        pair(
            bytes,
            0x81..=0xfe,
            |trail| matches!(trail, 0x41..=0x5a | 0x61..=0x7a | 0x81..=0xfe),
        )
    },
    own: |_| None,
    encoding: EUC_KR,
};

impl MultiByte {
    /// Converts text, run by run.
    pub(super) fn convert(&self, bytes: &[u8], take: &mut dyn FnMut(&str)) -> Result<(), NotText> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let ascii = rest.iter().position(|byte| !byte.is_ascii());
            let (run, tail) = rest.split_at(ascii.unwrap_or(rest.len()));
            if let Ok(run) = str::from_utf8(run) {
                take(run);
            }
            rest = tail;
            while rest.first().is_some_and(|byte| !byte.is_ascii()) {
                let len = (self.len)(rest).ok_or(NotText {
                    offset: bytes.len() - rest.len(),
                })?;
                let (code, tail) = rest.split_at(len.min(rest.len()));
                self.character(code, take);
                rest = tail;
            }
        }
        Ok(())
    }

    fn character(&self, code: &[u8], take: &mut dyn FnMut(&str)) {
        if let Some(own) = (self.own)(code) {
            take(own.encode_utf8(&mut [0; 4]));
            return;
        }
        let mut space = [0u8; 16];
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        let (result, _, written) =
            decoder.decode_to_utf8_without_replacement(code, &mut space, true);
        let text = space.get(..written).map(str::from_utf8);
        match (result, text) {
            (DecoderResult::InputEmpty, Some(Ok(text))) => take(text),
            _ => unassigned(code, take),
        }
    }
}

fn pair(
    bytes: &[u8],
    leads: std::ops::RangeInclusive<u8>,
    is_trail: fn(u8) -> bool,
) -> Option<usize> {
    match *bytes {
        [lead, trail, ..] if leads.contains(&lead) && is_trail(trail) => Some(2),
        _ => None,
    }
}

fn gbk_len(bytes: &[u8]) -> Option<usize> {
    pair(
        bytes,
        0x81..=0xfe,
        |trail| matches!(trail, 0x40..=0x7e | 0x80..=0xfe),
    )
}

fn sjis_len(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        // Half-width katakana.
        [0xa1..=0xdf, ..] => Some(1),
        [0x81..=0x9f | 0xe0..=0xfc, 0x40..=0x7e | 0x80..=0xfc, ..] => Some(2),
        _ => None,
    }
}

fn euc_jp_len(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        // Half-width katakana; MySQL stores a0 too.
        [0x8e, 0xa0..=0xdf, ..] => Some(2),
        [0x8f, 0xa1..=0xfe, 0xa1..=0xfe, ..] => Some(3),
        [0xa1..=0xfe, 0xa1..=0xfe, ..] => Some(2),
        _ => None,
    }
}

fn in_pairs(code: &[u8], corrections: Corrections) -> Option<char> {
    let pair = u16::from_be_bytes(code.try_into().ok()?);
    let at = corrections.binary_search_by_key(&pair, |(code, _)| *code);
    let (_, character) = corrections.get(at.ok()?)?;
    char::from_u32(u32::from(*character))
}

/// IBM's extensions, by the last two bytes of a triple.
fn extension(rest: &[u8]) -> Option<char> {
    let (lead, trail) = match *rest {
        [lead @ 0xf3..=0xf4, trail] => (usize::from(lead), usize::from(trail)),
        _ => return None,
    };
    // They begin with f3 f3; a row has 94 places.
    let index = ((lead - 0xf3) * 94 + trail).checked_sub(0xf3)?;
    let character = corrections::EUCJPMS_EXTENSIONS.get(index)?;
    char::from_u32(u32::from(*character))
}

/// The last ten rows of EUC's two planes belong to the user, and are Unicode's private use area.
fn user_defined(code: &[u8]) -> Option<char> {
    let (base, lead, trail) = match *code {
        [lead @ 0xf5..=0xfe, trail] => (0xe000, lead, trail),
        [0x8f, lead @ 0xf5..=0xfe, trail] => (0xe3ac, lead, trail),
        _ => return None,
    };
    let row = u32::from(lead) - 0xf5;
    char::from_u32(base + row * 94 + u32::from(trail).checked_sub(0xa1)?)
}
