/** The shared key: a file that only its owner can read, and proofs made with it. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { OperatorError } from '../../base/errors.ts';
import { NONCE_BYTES, PROOF_BYTES, TUNNEL_VERSION } from './protocol.ts';

export const KEY_FILE_DEFAULT = '/etc/tsreplay/key';
export const KEY_BYTES_MIN = 16;
const KEY_BYTES_MAX = 65_536;
/** Bytes of a new key, before they are written in base64. */
const NEW_KEY_BYTES = 32;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** Reads a key. Throws FILE or PERMISSION with the line that mends it. Line ends behind the key are no part of it. */
export function readKeyFile(path: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error as NodeJS.ErrnoException);
  }
  try {
    const { mode, size } = fstatSync(fd);
    if ((mode & forbiddenBits(path)) !== 0) {
      throw new OperatorError('PERMISSION', `others may read the key file ${path}: chmod 600 ${path}`);
    }
    const bytes = Buffer.alloc(Math.min(size, KEY_BYTES_MAX));
    let length = readSync(fd, bytes, 0, bytes.length, 0);
    while (length > 0 && (bytes[length - 1] === LINE_FEED || bytes[length - 1] === CARRIAGE_RETURN)) length--;
    if (length >= KEY_BYTES_MIN) return bytes.subarray(0, length);
    const short = `the key file ${path} has ${length} bytes, fewer than ${KEY_BYTES_MIN}`;
    throw new OperatorError('FILE', `${short}: make one with tsintercept --new-key ${path}`);
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw unreadable(path, error as NodeJS.ErrnoException);
  } finally {
    closeSync(fd);
  }
}

/**
 * A credential of systemd stands in a directory that nobody else enters, and is the service's by an access list, which
 * its mode shows as rights of the group (systemd.exec(5), CREDENTIALS).
 */
function forbiddenBits(path: string): number {
  const folder = process.env['CREDENTIALS_DIRECTORY'];
  return folder !== undefined && folder !== '' && dirname(path) === folder ? 0o037 : 0o077;
}

function unreadable(path: string, cause: NodeJS.ErrnoException): OperatorError {
  if (cause.code === 'ENOENT') {
    const remedy = `make one with tsintercept --new-key ${path}, and copy it to the other host`;
    return new OperatorError('FILE', `there is no key file ${path}: ${remedy}`, { cause });
  }
  if (cause.code === 'EACCES' || cause.code === 'EPERM') {
    const remedy = 'run as its owner, or name your own with --key-file';
    return new OperatorError('PERMISSION', `no permission to read the key file ${path}: ${remedy}`, { cause });
  }
  return new OperatorError('FILE', `the key file ${path} cannot be read: ${cause.code ?? cause.message}`, { cause });
}

/** Writes a new random key, for its owner only; an existing file is left alone. Throws FILE. */
export function writeNewKey(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const fd = openSync(path, 'wx', 0o600);
    writeSync(fd, `${randomBytes(NEW_KEY_BYTES).toString('base64')}\n`);
    closeSync(fd);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      throw new OperatorError('FILE', `${path} exists and is left alone: remove it first, or name another file`);
    }
    throw new OperatorError('FILE', `the key cannot be written to ${path}: ${code ?? message}`, { cause });
  }
}

export function newNonce(): Buffer {
  return randomBytes(NONCE_BYTES);
}

/** What `role` shows to have the key. The role keeps a proof from being sent back to whoever made it. */
export function proofOf(
  key: Uint8Array,
  role: 'agent' | 'server',
  agentNonce: Uint8Array,
  serverNonce: Uint8Array,
): Buffer {
  const mac = createHmac('sha256', key);
  return mac.update(`tsreplay tunnel ${TUNNEL_VERSION} ${role}\n`).update(agentNonce).update(serverNonce).digest();
}

/** In constant time. */
export function isProof(expected: Uint8Array, given: Uint8Array): boolean {
  return given.length === PROOF_BYTES && timingSafeEqual(expected, given);
}
