/**
 * The one door to libc. Only `src/sys/` imports koffi; everything else calls typed functions of this folder.
 *
 * A call costs 20 to 80 ns, so data-plane code calls once per batch. Pointers are passed as numbers (user-space
 * addresses are below 2^47) or as typed arrays, whose storage koffi hands over without a copy.
 */
import koffi, { type KoffiFunction } from 'koffi';

const libc = koffi.load(process.platform === 'darwin' ? '/usr/lib/libSystem.B.dylib' : 'libc.so.6');

/** Declares one libc function from its C prototype. Called at module load only. */
export function declare(prototype: string): KoffiFunction {
  return libc.func(prototype);
}

/** errno of this thread's last failed call through koffi. Read it at once after the call. */
export function lastErrno(): number {
  return koffi.errno();
}

/** An ArrayBuffer over `byteLength` bytes of mapped memory at `address`: no copy. Dead after munmap. */
export function viewOf(address: number, byteLength: number): ArrayBuffer {
  return koffi.view(BigInt(address), byteLength);
}
