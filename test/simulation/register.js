/** Owns the start of the loader; `SIMULATION_BUG` names the planted bug, if any. */
import { register } from 'node:module'
import process from 'node:process'

const bug = process.env.SIMULATION_BUG
register('./loader.js', import.meta.url, { data: bug ? { bug } : {} })
