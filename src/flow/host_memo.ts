/** HOT: what a predicate says of each host of a table, asked once a host. Budget 2 ns a look-up. */
import type { HostPredicate } from './direction.ts';
import { grown, type HostTable } from './hosts.ts';

const UNASKED = 0;
const YES = 1;
const NO = 2;

export class HostMemo {
  readonly #hosts: HostTable;
  readonly #predicate: HostPredicate;
  #answers: Uint8Array = new Uint8Array(1024);

  constructor(hosts: HostTable, predicate: HostPredicate) {
    this.#hosts = hosts;
    this.#predicate = predicate;
  }

  /** Preconditions: 0 <= id < hosts.count. */
  holds(id: number): boolean {
    if (id >= this.#answers.length) {
      this.#answers = grown(this.#answers, new Uint8Array(Math.max(id + 1, this.#answers.length * 2)));
    }
    const known = this.#answers[id]!;
    return known === UNASKED ? this.#ask(id) : known === YES;
  }

  #ask(id: number): boolean {
    const answer = this.#predicate(this.#hosts.version(id), hostWords(this.#hosts, id));
    this.#answers[id] = answer ? YES : NO;
    return answer;
  }
}

/** One word (IPv4) or four, u32, most significant first. */
export function hostWords(hosts: HostTable, id: number): number[] {
  const words = [hosts.word(id, 0)];
  if (hosts.version(id) === 6) words.push(hosts.word(id, 1), hosts.word(id, 2), hosts.word(id, 3));
  return words;
}
