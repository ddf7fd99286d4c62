/** Options of a pcapng block, built in order; absent values are left out. Not for the packet loop. */
import os from 'node:os';
import { OperatorError } from '../base/errors.ts';
import { Option } from './pcapng_format.ts';

const IS_LITTLE = os.endianness() === 'LE';
const OPTION_BYTES_MAX = 65_535;
const encoder = new TextEncoder();

export class OptionsBuilder {
  readonly #parts: [code: number, value: Uint8Array][] = [];

  text(code: number, value: string | undefined): this {
    if (value !== undefined && value !== '') this.#add(code, encoder.encode(value));
    return this;
  }

  comments(values: readonly string[] | undefined): this {
    for (const value of values ?? []) this.text(Option.Comment, value);
    return this;
  }

  /** Filter text, in libpcap's syntax. */
  filter(value: string | undefined): this {
    if (value !== undefined && value !== '') this.#add(Option.Filter, encoder.encode(`\0${value}`));
    return this;
  }

  byte(code: number, value: number | undefined): this {
    if (value !== undefined && value >= 0) this.#add(code, Uint8Array.of(value));
    return this;
  }

  counter(code: number, value: number | undefined): this {
    if (value === undefined || value < 0) return this;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), IS_LITTLE);
    this.#add(code, bytes);
    return this;
  }

  /** The options with their end mark; empty when there are none. */
  end(): Uint8Array {
    if (this.#parts.length === 0) return new Uint8Array(0);
    let total = 4;
    for (const [, value] of this.#parts) total += 4 + ((value.length + 3) & ~3);
    const bytes = new Uint8Array(total);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const [code, value] of this.#parts) {
      view.setUint16(at, code, IS_LITTLE);
      view.setUint16(at + 2, value.length, IS_LITTLE);
      bytes.set(value, at + 4);
      at += 4 + ((value.length + 3) & ~3);
    }
    return bytes;
  }

  #add(code: number, value: Uint8Array): void {
    if (value.length > OPTION_BYTES_MAX) {
      throw new OperatorError(
        'USAGE',
        `a comment or name of ${value.length} bytes is too long: at most ${OPTION_BYTES_MAX}`,
      );
    }
    this.#parts.push([code, value]);
  }
}
