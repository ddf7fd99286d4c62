/** Classic BPF programs on sockets. */
import { LITTLE_ENDIAN, SO_ATTACH_FILTER, SOL_SOCKET, SockFilter, SockFprog } from './layout.ts';
import { dataAddress } from './libc.ts';
import { setSocketOption } from './socket.ts';

/** Replaces the socket's filter in one step; `program`: struct sock_filter, 8 bytes each. Returns 0 or the errno. */
export function attachFilter(fd: number, program: Uint8Array): number {
  const instructions = new Uint8Array(new ArrayBuffer(program.byteLength));
  instructions.set(program);
  const struct = new Uint8Array(new ArrayBuffer(SockFprog.SIZE));
  const view = new DataView(struct.buffer);
  const address = dataAddress(instructions);
  view.setUint16(SockFprog.LEN, program.byteLength / SockFilter.SIZE, LITTLE_ENDIAN);
  view.setUint32(SockFprog.FILTER, address >>> 0, LITTLE_ENDIAN);
  view.setUint32(SockFprog.FILTER + 4, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
  return setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, struct);
}
