/** The survey of a capture, which `tsinfo` is made of. Apart from the folder's index: others need not load it. */

export { hostWords } from './host_memo.ts';
export { addressText } from './host_text.ts';
export { FINDINGS, Finding, SIZE_CLASSES, Survey } from './survey.ts';
export { HostCell, SurveyHosts } from './survey_hosts.ts';
export { SurveyProtocols } from './survey_protocols.ts';
export { SurveyTime } from './survey_time.ts';
export { CONNECTION_SLOTS_MAX, TcpConnections } from './tcp_connections.ts';
