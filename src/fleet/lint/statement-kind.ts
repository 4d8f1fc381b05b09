import type { NodeType } from './nodes.js'

const kinds: { readonly [Type in NodeType]?: string } = {
  AlterEnumStmt: 'ALTER TYPE',
  AlterObjectSchemaStmt: 'ALTER … SET SCHEMA',
  AlterOwnerStmt: 'ALTER … OWNER TO',
  CreateEnumStmt: 'CREATE TYPE',
  CreateSeqStmt: 'CREATE SEQUENCE',
  CreateStmt: 'CREATE TABLE',
  CreateTableAsStmt: 'CREATE TABLE AS',
  CreateTrigStmt: 'CREATE TRIGGER',
  IndexStmt: 'CREATE INDEX',
  LockStmt: 'LOCK TABLE',
  RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
  RenameStmt: 'ALTER … RENAME',
  TransactionStmt: 'BEGIN, COMMIT or ROLLBACK',
  VariableSetStmt: 'SET',
  ViewStmt: 'CREATE VIEW',
}

/** A statement's kind as SQL writes it. */
export function statementKind(type: NodeType): string {
  const words = type.replace(/Stmt$/, '').replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
  return kinds[type] ?? words.toUpperCase()
}
