/**
 * HOT: CRC32c (Castagnoli, reflected polynomial 0x82f63b78), RFC 9260 appendix A, RFC 3385. Slicing by eight bytes.
 */

const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;
/** Table k at index 256 * k: the effect of a byte followed by k zero bytes. */
const TABLE: Int32Array = makeTable();

function makeTable(): Int32Array {
  const table = new Int32Array(256 * SLICES);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    table[byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let k = 1; k < SLICES; k++) {
      const before = table[256 * (k - 1) + byte]!;
      table[256 * k + byte] = (before >>> 8) ^ table[before & 0xff]!;
    }
  }
  return table;
}

/** CRC32c of [at, end), as a number in [0, 2^32). `crc`: result for the bytes before, 0 at the start. */
export function crc32c(view: DataView, at: number, end: number, crc = 0): number {
  let state = ~crc;
  let i = at;
  for (; i + 8 <= end; i += 8) {
    const a = view.getInt32(i, true) ^ state;
    const b = view.getInt32(i + 4, true);
    state =
      TABLE[1792 + (a & 0xff)]! ^
      TABLE[1536 + ((a >>> 8) & 0xff)]! ^
      TABLE[1280 + ((a >>> 16) & 0xff)]! ^
      TABLE[1024 + (a >>> 24)]! ^
      TABLE[768 + (b & 0xff)]! ^
      TABLE[512 + ((b >>> 8) & 0xff)]! ^
      TABLE[256 + ((b >>> 16) & 0xff)]! ^
      TABLE[b >>> 24]!;
  }
  for (; i < end; i++) state = (state >>> 8) ^ TABLE[(state ^ view.getUint8(i)) & 0xff]!;
  return ~state >>> 0;
}
