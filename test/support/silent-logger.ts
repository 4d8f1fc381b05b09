import type { Logger } from '../../src/core/logger.js'

/** Drops every line: for tests that assert nothing about the log. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
