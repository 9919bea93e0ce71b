// What the drivers of the Node peers share. driver.py says which orders they take, and board.py what is where on the board.
import fs from "node:fs";
import readline from "node:readline";

const FLUSH_MS = 4;

export class Driver {
  constructor(options) {
    this.jobs = options.jobs;
    this.every = options.every;
    this.room = options.board_jobs;
    this.file = fs.openSync(options.board, "r+");
    this.times = Buffer.alloc(8 * this.room); // of the column that this process writes
    this.runs = Buffer.alloc(this.room);
    this.clean();
  }

  // The numbers of the jobs to fill in, in batches.
  *batches(size) {
    for (let first = 0; first < this.jobs; first += size)
      yield Array.from({ length: Math.min(size, this.jobs - first) }, (_, k) => first + k);
  }

  // The numbers of the jobs to create one at a time. The caller has created a job when it asks for the next.
  async *creating() {
    for (let i = 0; i < this.jobs; i++) {
      if (this.every) await new Promise((resolve) => setTimeout(resolve, 1000 * this.every * (0.5 + Math.random())));
      yield i;
      this.times.writeBigInt64LE(process.hrtime.bigint(), 8 * i);
    }
    fs.writeSync(this.file, this.times, 0, 8 * this.jobs, 8 * this.room);
  }

  // Tell figures.py that we are ready, and wait. Call this right before the library's own start.
  async waitForStart() {
    answer("ready");
    await nextLine();
    answer(Number(process.hrtime.bigint()));
    setInterval(() => this.flush(), FLUSH_MS);
  }

  // Note that a handler has begun job `i`.
  begun(i) {
    this.times.writeBigInt64LE(process.hrtime.bigint(), 8 * i);
    this.runs[i]++;
    this.first = Math.min(this.first, i);
    this.last = Math.max(this.last, i);
  }

  // Node cannot map the board into memory, so this writes the part from the first to the last job begun since the last flush.
  flush() {
    if (this.last < 0) return;
    const length = this.last - this.first + 1;
    fs.writeSync(this.file, this.times, 8 * this.first, 8 * length, 8 * this.first);
    fs.writeSync(this.file, this.runs, this.first, length, 16 * this.room + this.first);
    this.clean();
  }

  clean() {
    this.first = this.room;
    this.last = -1;
  }
}

const lines = readline.createInterface({ input: process.stdin });
const nextLine = () => new Promise((resolve) => lines.once("line", resolve));
const answer = (value) => console.log(JSON.stringify(value));

export async function drive({ setUp, fill, create, work }) {
  const options = JSON.parse(await nextLine());
  lines.on("close", () => process.exit(0));
  const driver = new Driver(options);
  if (options.command === "work") return work(driver); // until it is killed
  if (options.command === "create") await create(driver);
  else {
    await setUp();
    await fill(driver);
  }
  answer("done");
  process.exit(0);
}
