/**
 * The one door to libc. Only `src/sys/` imports koffi; everything else calls typed functions of this folder.
 *
 * A call costs 20 to 80 ns, so data-plane code calls once per batch. Pointers are passed as numbers (user-space
 * addresses are below 2^47) or as typed arrays, whose storage koffi hands over without a copy.
 */
import koffi from 'koffi';
import { OperatorError } from '../base/errors.ts';

const libc = koffi.load(process.platform === 'darwin' ? '/usr/lib/libSystem.B.dylib' : 'libc.so.6');

/** What a foreign function takes: numbers (also pointers), strings, typed arrays (their storage), null pointers. */
export type ForeignArgument = number | bigint | string | ArrayBufferView | null;
/** A foreign function; 64-bit integer results above 2^53 come as bigint, which no call of ours returns. */
export type ForeignFunction<Result = number> = (...args: ForeignArgument[]) => Result;

/**
 * Declares one libc function from its C prototype. Called at module load only. Where a platform other than Linux does
 * not have the function, calling it throws UNSUPPORTED.
 */
export function declare<Result = number>(prototype: string): ForeignFunction<Result> {
  try {
    return libc.func(prototype) as unknown as ForeignFunction<Result>;
  } catch (cause) {
    if (process.platform === 'linux') throw cause;
    return () => {
      throw new OperatorError('UNSUPPORTED', `${process.platform} has no ${prototype}: use --backend libpcap`, {
        cause,
      });
    };
  }
}

/** errno of this thread's last failed call through koffi. Read it at once after the call. */
export function lastErrno(): number {
  return koffi.errno();
}

/** An ArrayBuffer over `byteLength` bytes of mapped memory at `address`: no copy. Dead after munmap. */
export function viewOf(address: number, byteLength: number): ArrayBuffer {
  return koffi.view(BigInt(address), byteLength);
}

/** Arrays whose address was taken last: they outlive the call that the address is for. */
const addressed: ArrayBufferView[] = [];
const ADDRESSED_MAX = 64;
let addressedNext = 0;

/**
 * Address of a typed array's first byte, for structs that hold pointers. The array is kept from the garbage collector
 * until 64 more addresses have been taken, which is long enough for the one call that follows; otherwise an optimised
 * caller, which never names the array again, may lose it before the kernel reads it (seen). For longer, keep it
 * referenced. Preconditions: the array's bytes lie outside the V8 heap (64 bytes or more, or an ArrayBuffer of its
 * own).
 */
export function dataAddress(array: ArrayBufferView): number {
  addressed[addressedNext] = array;
  addressedNext = (addressedNext + 1) % ADDRESSED_MAX;
  return Number(koffi.address(array));
}
