/** What an interception notes, as lines of its log. */
import type { InterceptNote } from '../copy/intercept/intercept.ts';
import type { Log } from './log.ts';

/** Connections refused in one second beyond this are summed up: a port scan must not fill a disk. */
const REFUSALS_PER_SECOND = 5;

export class NoteLog {
  readonly #log: Log;
  #second = 0;
  #refusals = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  note(note: InterceptNote): void {
    const { kind, ...rest } = note;
    const fields = { event: kind, ...rest };
    switch (note.kind) {
      case 'leftovers':
        this.#log.write('warn', `took away ${note.rules} rules and ${note.routes} routes of a killed run`, fields);
        return;
      case 'agentJoined':
        this.#log.write('info', `agent ${note.agent} joined`, fields);
        return;
      case 'agentLeft':
        this.#log.write('info', `agent ${note.agent} left (${note.why}) with ${note.sessions} sessions`, fields);
        return;
      case 'refused':
        this.#refused(note.peer, note.why, fields);
        return;
      case 'ringFault':
        this.#log.write('error', `the ring broke and is opened again: ${note.why}`, fields);
        return;
      case 'noFirewall':
        this.#log.write('info', `nftables cannot stop what a firewall of this host makes: ${note.why}`, fields);
        return;
      case 'rulesLeft':
        this.#log.write('error', note.why, fields);
        return;
      default:
        this.#log.write('debug', kind, fields);
    }
  }

  #refused(peer: string, why: string, fields: Record<string, unknown>): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      const more = this.#refusals - REFUSALS_PER_SECOND;
      if (more > 0) this.#log.write('warn', `${more} more connections refused`, { more });
      this.#second = second;
      this.#refusals = 0;
    }
    if (++this.#refusals > REFUSALS_PER_SECOND) return;
    this.#log.write(why === 'closed' ? 'debug' : 'warn', `connection from ${peer} refused: ${why}`, fields);
  }
}
