/** Frames as text. */
export { frameText, LinePrinter } from './line.ts';
export { SequenceBases } from './tcp.ts';
export { PRINT_DEFAULTS, type PrintOptions } from './text.ts';
