/**
 * HOT: classic BPF programs over frames (McCanne and Jacobson 1993; include/uapi/linux/filter.h), as libpcap compiles
 * filter expressions to.
 *
 * `loadBpf` checks a program once: known instructions, jumps forward and inside it, scratch cells inside the 16, a
 * return at its end. After that `runBpf` always ends, as nothing jumps backward, and reads no byte outside
 * [at, at + caplen): a load outside means 0, "not accepted", as the standard says.
 */

/** Instruction classes, sizes, modes, operations and sources: fields of a code. */
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU = 0x04;
const JMP = 0x05;
const RET = 0x06;
const MISC = 0x07;

const INSTRUCTION_BYTES = 8;
export const BPF_INSTRUCTIONS_MAX = 4096;
const SCRATCH_CELLS = 16;

/** A checked program. Made by `loadBpf`. */
export interface BpfProgram {
  readonly length: number;
  readonly code: Uint8Array;
  readonly jumpTrue: Uint8Array;
  readonly jumpFalse: Uint8Array;
  readonly k: Uint32Array;
  /** The scratch cells M[], zeros at the start of a run. */
  readonly scratch: Uint32Array;
  readonly usesScratch: boolean;
}

/** Codes that `runBpf` knows. */
const KNOWN = new Set([
  0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04, 0x14, 0x24, 0x34,
  0x44, 0x54, 0x64, 0x74, 0x84, 0x94, 0xa4, 0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0x9c, 0xac, 0x05, 0x15,
  0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d, 0x06, 0x16, 0x07, 0x87,
]);

/**
 * Checks and unpacks a program of struct sock_filter in little-endian order. Returns what is wrong with it as text,
 * which no program from libpcap's compiler gives.
 */
export function loadBpf(program: Uint8Array): BpfProgram | string {
  const length = program.byteLength / INSTRUCTION_BYTES;
  if (!Number.isInteger(length) || length === 0) return 'the program is no whole number of instructions';
  if (length > BPF_INSTRUCTIONS_MAX) return `the program has more than ${BPF_INSTRUCTIONS_MAX} instructions`;
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const loaded = {
    length,
    code: new Uint8Array(length),
    jumpTrue: new Uint8Array(length),
    jumpFalse: new Uint8Array(length),
    k: new Uint32Array(length),
    scratch: new Uint32Array(SCRATCH_CELLS),
    usesScratch: false,
  };
  for (let pc = 0; pc < length; pc++) {
    const code = view.getUint16(pc * INSTRUCTION_BYTES, true);
    loaded.code[pc] = code;
    loaded.jumpTrue[pc] = view.getUint8(pc * INSTRUCTION_BYTES + 2);
    loaded.jumpFalse[pc] = view.getUint8(pc * INSTRUCTION_BYTES + 3);
    loaded.k[pc] = view.getUint32(pc * INSTRUCTION_BYTES + 4, true);
    loaded.usesScratch ||= (code & 0x07) === ST || (code & 0x07) === STX;
    const fault = checkInstruction(loaded, pc, code);
    if (fault !== '') return `instruction ${pc}: ${fault}`;
  }
  if ((loaded.code[length - 1]! & 0x07) !== RET) return 'the program does not end with a return';
  return loaded;
}

function checkInstruction(program: BpfProgram, pc: number, code: number): string {
  const k = program.k[pc]!;
  if (code > 0xff || !KNOWN.has(code)) return `unknown code 0x${code.toString(16)}`;
  const kind = code & 0x07;
  if ((kind === ST || kind === STX || code === 0x60 || code === 0x61) && k >= SCRATCH_CELLS)
    return 'no such scratch cell';
  if ((code === 0x34 || code === 0x94) && k === 0) return 'division by zero';
  if (kind === JMP) {
    const far = code === 0x05 ? k : Math.max(program.jumpTrue[pc]!, program.jumpFalse[pc]!);
    if (pc + 1 + far >= program.length) return 'jump outside the program';
  }
  return '';
}

/**
 * Runs the program over the frame at [at, at + caplen) that had `len` bytes on the wire. Returns the bytes to keep: 0
 * is "not accepted".
 */
export function runBpf(program: BpfProgram, view: DataView, at: number, caplen: number, len: number): number {
  const { code, jumpTrue, jumpFalse, k, scratch, length } = program;
  let a = 0;
  let x = 0;
  if (program.usesScratch) scratch.fill(0);
  for (let pc = 0; pc < length; pc++) {
    const value = k[pc]!;
    const op = code[pc]!;
    switch (op & 0x07) {
      case LD: {
        const mode = op & 0xe0;
        if (mode === 0x20 || mode === 0x40) {
          const offset = mode === 0x20 ? value : (value + x) % 0x1_0000_0000;
          const size = (op & 0x18) === 0 ? 4 : (op & 0x18) === 0x08 ? 2 : 1;
          if (offset + size > caplen) return 0;
          const from = at + offset;
          a = size === 2 ? view.getUint16(from) : size === 1 ? view.getUint8(from) : view.getUint32(from);
        } else if (mode === 0x00) a = value;
        else if (mode === 0x60) a = scratch[value]!;
        else a = len;
        break;
      }
      case LDX:
        if (op === 0xb1) {
          if (value >= caplen) return 0;
          x = (view.getUint8(at + value) & 0x0f) << 2;
        } else if (op === 0x01) x = value;
        else if (op === 0x61) x = scratch[value]!;
        else x = len;
        break;
      case ST:
        scratch[value] = a;
        break;
      case STX:
        scratch[value] = x;
        break;
      case ALU: {
        const operand = (op & 0x08) !== 0 ? x : value;
        if (operand === 0 && ((op & 0xf0) === 0x30 || (op & 0xf0) === 0x90)) return 0;
        a = arithmetic(op & 0xf0, a, operand);
        break;
      }
      case JMP:
        if (op === 0x05) pc += value;
        else pc += holds(op & 0xf0, a, (op & 0x08) !== 0 ? x : value) ? jumpTrue[pc]! : jumpFalse[pc]!;
        break;
      case RET:
        return op === 0x16 ? a : value;
      case MISC:
        if (op === 0x07) x = a;
        else a = x;
        break;
    }
  }
  return 0;
}

/** 32-bit unsigned arithmetic; division by zero is excluded by the caller. Shifts of 32 and more give 0. */
function arithmetic(operation: number, a: number, b: number): number {
  switch (operation) {
    case 0x00:
      return (a + b) >>> 0;
    case 0x10:
      return (a - b) >>> 0;
    case 0x20:
      return Math.imul(a, b) >>> 0;
    case 0x30:
      return Math.floor(a / b);
    case 0x40:
      return (a | b) >>> 0;
    case 0x50:
      return (a & b) >>> 0;
    case 0x60:
      return b < 32 ? (a << b) >>> 0 : 0;
    case 0x70:
      return b < 32 ? a >>> b : 0;
    case 0x80:
      return -a >>> 0;
    case 0x90:
      return a % b;
    default:
      return (a ^ b) >>> 0;
  }
}

function holds(comparison: number, a: number, b: number): boolean {
  switch (comparison) {
    case 0x10:
      return a === b;
    case 0x20:
      return a > b;
    case 0x30:
      return a >= b;
    default:
      return (a & b) !== 0;
  }
}
