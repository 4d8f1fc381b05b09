// Compares the public surface, every symbol of every subpath with its signature, with the reports in api-report/, so that a change of it
// is seen in review. Reads `dist/`. `node scripts/api-report.js --write` renews the reports.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const committed = join(root, 'api-report')

/** The declarations of each subpath that has some, by the name of its report. */
function entryPoints() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath, { types }]) => ({
      name: subpath === '.' ? 'index' : subpath.slice(2).replaceAll('/', '-'),
      file: join(root, types),
    }))
}

/** How API Extractor makes a report, in a folder; its own messages are left out, except those that spoil the report. */
function configOf({ name, file }, files, folder) {
  const silent = { default: { logLevel: ExtractorLogLevel.None } }
  const compilerOptions = { target: 'es2022', lib: ['es2023'], module: 'nodenext', types: ['node'], strict: true }
  return ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: file,
      compiler: { overrideTsconfig: { compilerOptions: { ...compilerOptions, skipLibCheck: true }, files } },
      // What a signature names without exporting it is part of the surface.
      apiReport: {
        enabled: true,
        includeForgottenExports: true,
        reportFileName: name,
        reportFolder: folder,
        reportTempFolder: join(folder, 'new'),
      },
      newlineKind: 'lf',
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, 'package.json'),
  })
}

/** Writes the reports of all entry points into a folder; throws when one cannot be made. */
function writeReports(folder) {
  const entries = entryPoints()
  const files = entries.map(({ file }) => file)
  const configs = entries.map((entry) => configOf(entry, files, folder))
  const compilerState = CompilerState.create(configs[0], { additionalEntryPoints: files })
  for (const config of configs) {
    const errors = []
    const messageCallback = (message) => {
      message.handled = true
      if (message.logLevel === ExtractorLogLevel.Error) errors.push(message.formatMessageWithLocation(root))
    }
    // `localBuild`: the report is written, not compared.
    const { succeeded } = Extractor.invoke(config, { localBuild: true, compilerState, messageCallback })
    if (!succeeded) throw new Error(`no report of ${config.mainEntryPointFilePath}:\n${errors.join('\n')}`)
    if (!/^export /m.test(readFileSync(config.reportFilePath, 'utf8')))
      throw new Error(`${config.mainEntryPointFilePath} exports nothing`)
  }
  rmSync(join(folder, 'new'), { recursive: true, force: true })
}

if (process.argv[2] === '--write') {
  rmSync(committed, { recursive: true, force: true })
  mkdirSync(committed)
  writeReports(committed)
  console.log(`written: ${readdirSync(committed).join(', ')}`)
} else {
  const folder = mkdtempSync(join(tmpdir(), 'api-report-'))
  try {
    writeReports(folder)
    const { status, stdout, error } = spawnSync(
      'git',
      ['diff', '--no-index', '--no-color', '--no-prefix', committed, folder],
      { encoding: 'utf8' },
    )
    if (error) throw error
    if (status !== 0) {
      console.error(
        `${stdout}\nThe public surface is not the one in api-report/. Is the change meant? Then renew it and commit it:`,
      )
      console.error('node scripts/api-report.js --write')
      process.exitCode = 1
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
