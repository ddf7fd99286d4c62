/** What `--anonymize` takes: the key and its file, the payload policy. */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { CRYPTOPAN_KEY_BYTES } from './cryptopan.ts';
import { badValue } from './usage.ts';

/**
 * `keep`: payloads stay. `zero`: every byte behind the transport header becomes zero. `cut`: they are cut off, as a
 * snaplen would; lengths in headers and `len` stay.
 */
export type PayloadPolicy = 'keep' | 'zero' | 'cut';

export interface AnonymizeSpec {
  /** 32 bytes. The same key gives the same pseudonyms in every run. */
  readonly key: Uint8Array;
  readonly payload: PayloadPolicy;
  /** The vendor part of MAC addresses stays. Default false. */
  readonly keepOui?: boolean;
  /**
   * `unicast` (default): addresses that name no host stay (multicast, broadcast, loopback, unspecified), and no
   * pseudonym falls among them. `all`: every address as the reference implementation maps it.
   */
  readonly scope?: 'unicast' | 'all';
}

export function parsePayloadPolicy(option: string, text: string): PayloadPolicy {
  if (text === 'keep' || text === 'zero' || text === 'cut') return text;
  throw badValue(option, text, 'keep, zero or cut');
}

const HEX_KEY = /^[0-9a-f]{64}$/i;
/** A hexadecimal key with white space; nothing longer is read. */
const FILE_BYTES_MAX = 256;

/**
 * Reads a key file: 32 bytes, or 64 hexadecimal digits. Throws `OperatorError`: FILE (cannot be read), USAGE (is no
 * key).
 */
export function readAnonymizeKey(path: string): Uint8Array {
  const bytes = readStart(path);
  if (bytes.length === CRYPTOPAN_KEY_BYTES) return Uint8Array.from(bytes);
  const text = bytes.toString('latin1').trim();
  if (HEX_KEY.test(text)) return Uint8Array.from(Buffer.from(text, 'hex'));
  const has = bytes.length > FILE_BYTES_MAX ? `more than ${FILE_BYTES_MAX}` : String(bytes.length);
  throw new OperatorError(
    'USAGE',
    `${path} is no key: it has ${has} bytes, not 32 (or 64 hexadecimal digits); ` +
      `make one with head -c 32 /dev/urandom > ${path}`,
  );
}

function readStart(path: string): Buffer {
  try {
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(FILE_BYTES_MAX + 1);
      return bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, null));
    } finally {
      fs.closeSync(fd);
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const remedy = code === 'ENOENT' ? `make one with head -c 32 /dev/urandom > ${path}` : 'it must be a readable file';
    throw new OperatorError('FILE', `cannot read the key ${path} (${code}): ${remedy}`, { cause });
  }
}
