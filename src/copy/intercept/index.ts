/** The interception of a test server's replies. */
export {
  type AgentSnapshot,
  cleanUpIntercept,
  type Intercept,
  type InterceptNote,
  type InterceptOptions,
  type InterceptSnapshot,
  openIntercept,
} from './intercept.ts';
export { DEVICE, PREFERENCE, TABLE } from './routes.ts';
export { type InterceptSpec, type ServiceSpec, serviceText } from './spec.ts';
