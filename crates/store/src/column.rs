//! Between columns and values.

use crate::StoreFault;

pub(crate) fn bytes(column: Vec<u8>) -> Result<[u8; 32], StoreFault> {
    column.try_into().map_err(|_| StoreFault::Malformed("digest"))
}

pub(crate) fn seconds(column: i64) -> Result<u64, StoreFault> {
    u64::try_from(column).map_err(|_| StoreFault::Malformed("time"))
}

pub(crate) fn to_seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
