/** Owns the process in which one encoding is measured: options in as JSON, figures out as JSON, nothing of another encoding compiled or cached. */
import { tuneEngine } from '../lib/engine.js'
import { measureEncoding, type BlockFigures, type BlocksOptions } from './block-measures.js'
import { calibrated, type Calibration } from './calibration.js'

export interface EncodingFigures extends BlockFigures {
  readonly calibration: Calibration
}

// As the store's threads run it.
tuneEngine()
const options = JSON.parse(process.argv[2]!) as BlocksOptions
const [figures, calibration] = await calibrated(() => measureEncoding(options))
const reply: EncodingFigures = { ...figures, calibration }
process.stdout.write(JSON.stringify(reply))
