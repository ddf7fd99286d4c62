/** Addresses, times and dumps as tcpdump writes them. */

/** What a line shows; option letters as tcpdump's. */
export interface PrintOptions {
  /** `-e`: the link header. */
  readonly link: boolean;
  /** `-v`, `-vv`: IP header fields and checksums; further sections of DNS. */
  readonly verbose: number;
  /** `-x`, `-X`, `-A`; `withLink`: `-xx`, `-XX`, `-AA`. */
  readonly dump: 'none' | 'hex' | 'hex-ascii' | 'ascii';
  readonly dumpWithLink: boolean;
  /** No letter, `-t`, `-tt`, `-ttt`, `-tttt`, `-ttttt`. */
  readonly time: 'clock' | 'none' | 'epoch' | 'since-last' | 'date' | 'since-first';
  /** Digits of a second. */
  readonly timeDigits: 6 | 9;
  /** `-#`: the number of the packet in front. */
  readonly number: boolean;
  /** `-S`: sequence numbers as they are. */
  readonly absoluteSeq: boolean;
}

export const PRINT_DEFAULTS: PrintOptions = {
  link: false,
  verbose: 0,
  dump: 'none',
  dumpWithLink: false,
  time: 'clock',
  timeDigits: 6,
  number: false,
  absoluteSeq: false,
};

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function macText(view: DataView, at: number): string {
  let text = HEX[view.getUint8(at)]!;
  for (let i = 1; i < 6; i++) text += `:${HEX[view.getUint8(at + i)]}`;
  return text;
}

export function ipv4Text(view: DataView, at: number): string {
  return `${view.getUint8(at)}.${view.getUint8(at + 1)}.${view.getUint8(at + 2)}.${view.getUint8(at + 3)}`;
}

/** RFC 5952: the longest run of zeros of two groups or more becomes `::`; IPv4-mapped addresses are dotted. */
export function ipv6Text(view: DataView, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(view.getUint16(at + 2 * i));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${ipv4Text(view, at + 12)}`;
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
    i += length;
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(':');
  return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}`;
}

export function hexText(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** Stamps in the local time zone. Keeps the first and the last one for differences. */
export class TimeText {
  readonly #options: PrintOptions;
  #firstSec = -1;
  #firstNsec = 0;
  #lastSec = 0;
  #lastNsec = 0;

  constructor(options: PrintOptions) {
    this.#options = options;
  }

  /** With a space behind it; empty for `none`. */
  of(sec: number, nsec: number): string {
    const isFirst = this.#firstSec < 0;
    if (isFirst) {
      this.#firstSec = this.#lastSec = sec;
      this.#firstNsec = this.#lastNsec = nsec;
    }
    let text = '';
    switch (this.#options.time) {
      case 'none':
        break;
      case 'epoch':
        text = `${sec}.${this.#fraction(nsec)} `;
        break;
      case 'since-last':
        text = this.#difference(sec - this.#lastSec, nsec - this.#lastNsec);
        break;
      case 'since-first':
        text = this.#difference(sec - this.#firstSec, nsec - this.#firstNsec);
        break;
      default:
        text = this.#clock(sec, nsec);
    }
    this.#lastSec = sec;
    this.#lastNsec = nsec;
    return text;
  }

  #fraction(nsec: number): string {
    return String(nsec).padStart(9, '0').slice(0, this.#options.timeDigits);
  }

  #clock(sec: number, nsec: number): string {
    const time = new Date(sec * 1000);
    const parts = [time.getHours(), time.getMinutes(), time.getSeconds()];
    const clock = `${parts.map(two).join(':')}.${this.#fraction(nsec)} `;
    if (this.#options.time === 'clock') return clock;
    return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
  }

  #difference(sec: number, nsec: number): string {
    const isNegative = sec < 0 || (sec === 0 && nsec < 0);
    let s = isNegative ? -sec : sec;
    let n = isNegative ? -nsec : nsec;
    if (n < 0) {
      n += 1_000_000_000;
      s--;
    }
    const clock = `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
    return `${isNegative ? '-' : ' '}${clock}.${this.#fraction(n)} `;
  }
}

/** ASCII that disturbs no terminal. */
export function isPrintable(byte: number): boolean {
  return byte >= 32 && byte < 127;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** Rows of 16 bytes: `\n\t0x0010:  0a4d 0002 …  .M..`. */
export function hexDump(view: DataView, at: number, end: number, withAscii: boolean): string {
  let text = '';
  for (let row = at; row < end; row += 16) {
    const stop = Math.min(row + 16, end);
    let hex = '';
    let ascii = '';
    for (let i = row; i < stop; i++) {
      const byte = view.getUint8(i);
      if ((i - row) % 2 === 0) hex += i === row ? '' : ' ';
      hex += HEX[byte];
      ascii += byte > 32 && byte < 127 ? String.fromCharCode(byte) : '.';
    }
    text += `\n\t${hexText(row - at, 4)}:  ${withAscii ? `${hex.padEnd(39)}  ${ascii}` : hex}`;
  }
  return text;
}

/** Printable bytes, tabs and line ends as they are; everything else a dot. */
export function asciiDump(view: DataView, at: number, end: number): string {
  let text = '\n';
  for (let i = at; i < end; i++) {
    const byte = view.getUint8(i);
    // a carriage return in front of a line end would move the terminal's cursor
    if (byte === 13 && i + 1 < end && view.getUint8(i + 1) === 10) continue;
    text += isPrintable(byte) || byte === 10 || byte === 9 ? String.fromCharCode(byte) : '.';
  }
  return text;
}
