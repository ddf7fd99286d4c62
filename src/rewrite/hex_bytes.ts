/** `--user-dlink=h,h,…`: a header as hexadecimal bytes, `0x` optional. */
import { badValue } from './usage.ts';

export const USER_HEADER_BYTES_MAX = 255;

export function parseHexBytes(option: string, text: string): readonly number[] {
  const expected = `1 to ${USER_HEADER_BYTES_MAX} hexadecimal bytes with commas between, as 0f,00,08,00`;
  const bytes = text.split(',').map((part) => {
    if (!/^(?:0x)?[0-9a-f]{1,2}$/i.test(part.trim())) throw badValue(option, text, expected);
    return Number.parseInt(part.trim().replace(/^0x/i, ''), 16);
  });
  if (bytes.length > USER_HEADER_BYTES_MAX) throw badValue(option, text, expected);
  return bytes;
}
