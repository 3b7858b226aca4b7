//! PostGIS geometry and geography.

use adit_decode::{DecodeError, Reader};
use adit_event::{CellFormat, ValueError, ValueWriter};

use super::scanner::Scanner;

/// geometry and geography, which PostGIS writes as EWKB in hex.
///
/// An event has the SRID beside plain ISO 13249-3 (and OGC) WKB: without the SRID in its header,
/// and with Z and M told by 1000, 2000 or 3000 added to the type instead of by EWKB's flag bits, in
/// every nested geometry too. The byte order stays as it is.
///
/// ```text
/// byte order  1      0 big-endian, 1 little-endian
/// type        4      bits 0x8000_0000 Z, 0x4000_0000 M, 0x2000_0000 SRID; the rest: ISO type
/// SRID        4      where its bit is set
/// body
/// ```
#[derive(Debug)]
pub(super) struct Geometry;

const NAME: &str = "geometry";

impl CellFormat for Geometry {
    fn write_text(&self, cell: &[u8], out: &mut ValueWriter<'_>) -> Result<(), ValueError> {
        let ewkb = from_hex(cell)?;
        let error = |problem, offset: usize| ValueError {
            expected: NAME,
            problem,
            offset: offset * 2,
            len: cell.len(),
        };
        let mut walk = Walk {
            reader: Reader::new(&ewkb),
            wkb: Vec::with_capacity(ewkb.len()),
            srid: None,
        };
        match walk.geometry(0) {
            Ok(()) if walk.reader.is_empty() => {}
            Ok(()) => {
                return Err(error("bytes behind the geometry", walk.reader.offset()));
            }
            Err(Problem::Short(DecodeError { offset, .. })) => {
                return Err(error("it ends too early", offset));
            }
            Err(Problem::Unknown(problem)) => return Err(error(problem, walk.reader.offset())),
        }
        out.geometry(walk.srid.unwrap_or(0), &walk.wkb);
        Ok(())
    }
}

/// Geometries in geometries: PostGIS itself stops well below.
const DEPTH_MAX: usize = 64;

const FLAG_Z: u32 = 0x8000_0000;
const FLAG_M: u32 = 0x4000_0000;
const FLAG_SRID: u32 = 0x2000_0000;

enum Problem {
    Short(DecodeError),
    Unknown(&'static str),
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::Short(error)
    }
}

#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

/// Reads EWKB and writes WKB.
struct Walk<'a> {
    reader: Reader<'a>,
    wkb: Vec<u8>,
    srid: Option<u32>,
}

impl Walk<'_> {
    fn geometry(&mut self, depth: usize) -> Result<(), Problem> {
        if depth > DEPTH_MAX {
            return Err(Problem::Unknown("geometries nested too deep"));
        }
        let order_byte = self.reader.u8("ewkb.byte_order")?;
        let order = match order_byte {
            0 => Order::Big,
            1 => Order::Little,
            _ => return Err(Problem::Unknown("a byte order that is neither 0 nor 1")),
        };
        let kind = self.number(order)?;
        if kind & FLAG_SRID != 0 {
            // The outermost comes first; inner ones could only repeat it.
            let srid = self.number(order)?;
            self.srid.get_or_insert(srid);
        }
        let (z, m) = (kind & FLAG_Z != 0, kind & FLAG_M != 0);
        let coordinates = 2 + usize::from(z) + usize::from(m);
        let kind = kind & !(FLAG_Z | FLAG_M | FLAG_SRID);
        self.wkb.push(order_byte);
        self.push_number(
            kind.saturating_add(1000 * u32::from(z) + 2000 * u32::from(m)),
            order,
        );
        match kind {
            // Point.
            1 => self.points(1, coordinates),
            // LineString, CircularString.
            2 | 8 => self.counted_points(order, coordinates),
            // Polygon, Triangle: rings of points.
            3 | 17 => {
                for _ in 0..self.count(order)? {
                    self.counted_points(order, coordinates)?;
                }
                Ok(())
            }
            // MultiPoint, MultiLineString, MultiPolygon, GeometryCollection, CompoundCurve,
            // CurvePolygon, MultiCurve, MultiSurface, PolyhedralSurface, TIN: whole geometries.
            4..=7 | 9..=12 | 15 | 16 => {
                for _ in 0..self.count(order)? {
                    self.geometry(depth + 1)?;
                }
                Ok(())
            }
            _ => Err(Problem::Unknown(
                "a type of geometry that is not known here",
            )),
        }
    }

    fn number(&mut self, order: Order) -> Result<u32, DecodeError> {
        let bytes = self.reader.array("ewkb.number")?;
        Ok(match order {
            Order::Big => u32::from_be_bytes(bytes),
            Order::Little => u32::from_le_bytes(bytes),
        })
    }

    fn push_number(&mut self, number: u32, order: Order) {
        self.wkb.extend_from_slice(&match order {
            Order::Big => number.to_be_bytes(),
            Order::Little => number.to_le_bytes(),
        });
    }

    /// Copies a count. Each counted thing is read before the next, so the cell's end bounds it.
    fn count(&mut self, order: Order) -> Result<u32, DecodeError> {
        let count = self.number(order)?;
        self.push_number(count, order);
        Ok(count)
    }

    fn counted_points(&mut self, order: Order, coordinates: usize) -> Result<(), Problem> {
        let count = self.count(order)?;
        self.points(usize::try_from(count).unwrap_or(usize::MAX), coordinates)
    }

    fn points(&mut self, count: usize, coordinates: usize) -> Result<(), Problem> {
        let len = count.saturating_mul(coordinates * size_of::<f64>());
        let points = self.reader.bytes(len, "ewkb.points")?;
        self.wkb.extend_from_slice(points);
        Ok(())
    }
}

fn from_hex(cell: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut scanner = Scanner::new(NAME, cell);
    let mut bytes = Vec::with_capacity(cell.len() / 2);
    while scanner.peek().is_some() {
        let error = scanner.error("not pairs of hex digits");
        let pair = (digit(scanner.byte()), digit(scanner.byte()));
        let (Some(high), Some(low)) = pair else {
            return Err(error);
        };
        bytes.push(high << 4 | low);
    }
    Ok(bytes)
}

fn digit(byte: Option<u8>) -> Option<u8> {
    let value = char::from(byte?).to_digit(16)?;
    u8::try_from(value).ok()
}
