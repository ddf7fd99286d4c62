/** Entries of a Sessions frame: what an agent registers, or takes back. */
import { SESSION_ADD, SESSION_BYTES_V4, SESSION_BYTES_V6, SESSION_REMOVE, SESSION_V6 } from './protocol.ts';
import { isKeyV4, KEY_CLIENT, KEY_PORTS, KEY_SERVICE, setKeyPorts, setKeyV4 } from './session_key.ts';

/** Writes an entry; returns the offset behind it. Precondition: SESSION_BYTES_V6 bytes are free. */
export function writeSessionEntry(view: DataView, at: number, operation: number, key: Int32Array): number {
  const isV4 = isKeyV4(key, KEY_CLIENT) && isKeyV4(key, KEY_SERVICE);
  view.setUint8(at, isV4 ? operation : operation | SESSION_V6);
  view.setUint32(at + 1, key[KEY_PORTS]! >>> 0);
  if (isV4) {
    view.setInt32(at + 5, key[KEY_CLIENT + 3]!);
    view.setInt32(at + 9, key[KEY_SERVICE + 3]!);
    return at + SESSION_BYTES_V4;
  }
  for (let i = 0; i < 8; i++) view.setInt32(at + 5 + 4 * i, key[i]!);
  return at + SESSION_BYTES_V6;
}

/** Calls `use` for each entry of [at, end). False: what is there is no entry; those before it were used. */
export function readSessionEntries(
  view: DataView,
  start: number,
  end: number,
  key: Int32Array,
  use: (isAdded: boolean, key: Int32Array) => void,
): boolean {
  for (let at = start; at < end; ) {
    const first = view.getUint8(at);
    const operation = first & ~SESSION_V6;
    const bytes = (first & SESSION_V6) === 0 ? SESSION_BYTES_V4 : SESSION_BYTES_V6;
    if ((operation !== SESSION_ADD && operation !== SESSION_REMOVE) || at + bytes > end) return false;
    setKeyPorts(key, view.getUint16(at + 1), view.getUint16(at + 3));
    if (bytes === SESSION_BYTES_V4) {
      setKeyV4(key, KEY_CLIENT, view.getInt32(at + 5));
      setKeyV4(key, KEY_SERVICE, view.getInt32(at + 9));
    } else {
      for (let i = 0; i < 8; i++) key[i] = view.getInt32(at + 5 + 4 * i);
    }
    use(operation === SESSION_ADD, key);
    at += bytes;
  }
  return true;
}
