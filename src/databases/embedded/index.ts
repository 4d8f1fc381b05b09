export { type EmbeddedServer, type EmbeddedServerOptions, startEmbeddedServer } from './supervisor.js'
