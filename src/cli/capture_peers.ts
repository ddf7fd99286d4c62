/** What options of tcpdump and dumpcap are called in `tscap`, or why it has none, for people who type them. */
import type { PeerOptions } from './option_table.ts';

const READER = 'tscap captures; use tcpdump or tshark on the file';
const ONE_LINK_TYPE = 'an interface is captured with its own link type; --list shows interfaces';
const NO_NAMES = 'addresses and ports are always numbers: leave it out';
const CHECKSUMS = 'checksums are looked at with -v only: leave it out';
const OPTIMIZED = 'filters are always optimized: leave it out';
const LISTS = 'decryption, protocols by port and MIB modules are for tcpdump -r on the file';

export const TCPDUMP_OPTIONS: PeerOptions = {
  '-K': CHECKSUMS,
  '--dont-verify-checksums': CHECKSUMS,
  '-N': NO_NAMES,
  '-f': 'the filter stands behind the options: tscap -i eth1 -w prod.pcap tcp port 80',
  '-q': '--quiet leaves the live line and the report out; lines are never shortened',
  '-O': OPTIMIZED,
  '--no-optimize': OPTIMIZED,
  '-d': 'tcpdump -d prints the code of a filter',
  '-L': ONE_LINK_TYPE,
  '--list-data-link-types': ONE_LINK_TYPE,
  '-y': ONE_LINK_TYPE,
  '--linktype': ONE_LINK_TYPE,
  '-I': 'put the wireless interface into monitor mode with iw, then capture on it',
  '--monitor-mode': 'put the wireless interface into monitor mode with iw, then capture on it',
  '-J': 'types of stamps are those of --time-stamp-type',
  '-T': LISTS,
  '-E': LISTS,
  '-M': LISTS,
  '-m': LISTS,
  '-u': LISTS,
  '--micro': 'type --time-stamp-precision micro',
  '--nano': 'type --time-stamp-precision nano, which files have without it',
  '--snaplen': 'type --snapshot-length BYTES',
  '--immediate-mode': '-U writes each packet as soon as it comes; lines are printed so without it',
  '--relinquish-privileges': 'type --user NAME',
  '--skip': READER,
  '--lengths': READER,
  '-P': "dumpcap's -P is --format pcap; tcpdump's is -Q",
  '-g': 'files get the rights that umask leaves them: umask 027',
  '-k': 'set the channel with iw',
  '--capture-comment': READER,
};
