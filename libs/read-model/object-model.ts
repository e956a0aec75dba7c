import type { EventCatalogue, RebuildableModel } from '@mcpctl/event-store'
import {
  createTables,
  dropTables,
  holdTables,
  indexStatements,
  modelVersions,
  showTables,
  tablesAt,
} from './model-tables'
import { firstDifference } from './object-difference'
import type { ProjectedKind } from './object-fold'
import { ObjectLoader } from './object-loader'
import { objectProjection } from './object-projection'

export interface ObjectModelOptions {
  /** Of the processor that keeps the model up to date. */
  name: string
  kinds: ProjectedKind[]
  /** Part of every resourceVersion. */
  epoch: number
  /** Identity of the folding code. */
  fold: string
  catalogue: EventCatalogue
}

/** The table of objects and that of references, as something that can be folded anew and compared with a fold. */
export const objectModel = ({ name, kinds, epoch, fold, catalogue }: ObjectModelOptions): RebuildableModel => ({
  name,
  fold,
  catalogue,
  create: createTables,
  loader: (place) => new ObjectLoader({ tables: tablesAt(place), kinds, epoch }),
  indexes: indexStatements,
  project: (tx, version, events) => objectProjection(kinds, epoch, tablesAt(version))(tx, events),
  show: showTables,
  drop: dropTables,
  versions: modelVersions,
  hold: holdTables,
  compare: firstDifference,
})
