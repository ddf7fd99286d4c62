/** Keys of made sessions: 10.99.0.5 to 10.77.0.2. */
import { KEY_CLIENT, KEY_SERVICE, KEY_WORDS, setKeyPorts, setKeyV4 } from '../../src/copy/tunnel/session_key.ts';

export function sessionKey(clientPort: number, servicePort = 80): Int32Array {
  const key = new Int32Array(KEY_WORDS);
  setKeyV4(key, KEY_CLIENT, 0x0a630005);
  setKeyV4(key, KEY_SERVICE, 0x0a4d0002);
  setKeyPorts(key, clientPort, servicePort);
  return key;
}
