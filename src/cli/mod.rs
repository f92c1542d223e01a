//! The command line: everything the screen can do, with the same words, the same plans and the same jobs.

mod actor;
mod api_test;
mod appliance;
mod audit;
mod backup;
mod doctor;
mod guest;
mod in_archive;
mod init;
mod job;
mod login;
mod logs;
mod manual;
mod operator;
mod output;
mod ports;
mod ports_how;
mod repair;
mod restricted;
mod secrets;
mod settings;
mod status;
mod vault;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::domain::access::{Permission, Who, authorize, of_plan, of_wish};
use crate::domain::appliance::hold::PinChange;
use crate::domain::appliance::lease::{Forecast, Pool};
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::job::{Job, JobId, State};
use crate::domain::plan::{Approved, Plan, Purpose, Risk};
use crate::domain::ports::{PortWish, Sockets};
use crate::domain::settings::Settings;
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, News, Part, Place, World};
use crate::host::Host;
use crate::host::demo::DemoHost;
use crate::host::local::LocalHost;
use crate::jobs::Jobs;
use crate::ops::audit::Recorder;
use crate::ops::{pins, planner, ports as port_ops, probe, refresh};
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{Store, StoreError, Unlocked};

use actor::host as on_host;
pub(crate) use actor::{Need, account, authorize_here, check_console, may_unlock};
pub(crate) use login::{after as after_login, note as note_login, step as login_step};
pub(crate) use operator::{SECOND_ON, picture, shown};
pub(crate) use vault::recorded;

/// A keyboard-driven console for self-hosted apps on Proxmox VE. Without a command it opens the console.
#[derive(Parser)]
#[command(name = "proximity", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Global {
    /// The host to work on: local or demo
    #[arg(long, global = true, value_name = "NAME")]
    host: Option<String>,
    /// Directory of store, jobs and keys
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, global = true, value_name = "FORM", default_value = "table")]
    output: Form,
    /// Print the plan and change nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Approve a plan that interrupts or destroys something
    #[arg(long, global = true)]
    yes: bool,
    /// The name of what is lost, where a plan asks for it
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<String>,
    /// Print the job's number and do not wait for its end
    #[arg(long, global = true)]
    no_wait: bool,
    /// Refuse everything that changes something
    #[arg(long, global = true)]
    read_only: bool,
    /// Descriptor to read a passphrase from, where a plan destroys something
    #[arg(long, global = true, value_name = "N")]
    proof_fd: Option<i32>,
    #[command(flatten)]
    second: login::Second,
    /// For accounts without a shell: no other host or store, no files, nobody but the account itself
    #[arg(long, global = true)]
    restricted: bool,
    /// Draw with ASCII only
    #[arg(long, global = true)]
    ascii: bool,
    /// Draw without colours
    #[arg(long, global = true)]
    mono: bool,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Aligned columns for people
    Table,
    /// One JSON object
    Json,
    /// Bare lines for screen readers and pipes
    Plain,
}

#[derive(Subcommand)]
enum Command {
    /// Set up store, vault and first operator, once
    Init(init::Init),
    /// What is wrong, then what is running
    Status,
    /// Guests: list, show, power, unlock, exec, enter
    #[command(subcommand)]
    Guest(guest::Guest),
    /// Backups: list, run, verify, files, pull, restore beside
    #[command(subcommand)]
    Backup(backup::Backup),
    /// The network appliance: status, probe, leases; provision, converge, restart; pin, unpin, release
    #[command(subcommand)]
    Appliance(appliance::Appliance),
    /// Ports: list, drift, certificates, who, reserve, release, pin, unpin, block, unblock, site
    #[command(subcommand)]
    Ports(ports::Ports),
    /// Repair: who holds a lock, what killed jobs left; clear it away
    #[command(subcommand)]
    Repair(repair::Repair),
    /// Print or follow logs
    Logs(logs::Logs),
    /// Jobs: list, show, log, wait, cancel
    #[command(subcommand)]
    Job(job::Jobs),
    /// Operators: list, add, roles, second factor
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Settings: list, get, set, history, revert, export, import
    #[command(subcommand)]
    Settings(settings::Command),
    /// The vault: status, rotate, recovery, snapshot, restore, export, import
    #[command(subcommand)]
    Vault(vault::Vault),
    /// The audit: who did what, and whether the log is whole
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at everything that Proximity needs, and say what is not well
    Doctor,
    /// Print all keys of the console
    PrintKeys,
    /// Print the configuration that holds and where each value came from
    PrintConfig,
    /// Print a page of the manual, or their list
    Manual {
        /// Which page
        topic: Option<String>,
    },
    /// Looks inside an archive for a job; started by Proximity itself
    #[command(hide = true, subcommand)]
    InArchive(in_archive::InArchive),
    /// The worker of a job; started by Proximity itself
    #[command(hide = true)]
    JobWorker {
        /// Systemd unit it runs in
        #[arg(long)]
        unit: Option<String>,
        /// The job
        id: JobId,
    },
}

/// What a command works with.
pub(crate) struct Ctx {
    pub(crate) config: Config,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) form: Form,
    dry_run: bool,
    yes: bool,
    name: Option<String>,
    no_wait: bool,
    pub(crate) read_only: bool,
    pub(crate) restricted: bool,
    proof_fd: Option<i32>,
    second: login::Second,
    /// Who runs this, once it was asked.
    who: OnceLock<Who>,
    /// What kind of process this is, for the audit.
    mode: &'static str,
}

/// The result of a command: its exit status.
pub(crate) type Done = Result<u8, Problem>;

/// Reads the arguments, does what they say, gives the exit status. Errors are printed here and nowhere else.
pub fn main() -> u8 {
    // Before anything secret is read. What is lacking is said by `vault status`; it is no reason not to start.
    drop(crate::store::guard_memory());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let form = cli.global.output;
    match go(cli) {
        Ok(status) => status,
        Err(problem) => {
            if form == Form::Json {
                eprintln!("{}", problem.json());
            } else {
                eprintln!("proximity: {}", problem.text());
            }
            problem.kind.status()
        }
    }
}

/// Help and version go to standard output with 0, mistakes to standard error with 2; in JSON where that was asked for.
fn usage(e: &clap::Error) -> u8 {
    let args: Vec<String> = std::env::args().collect();
    let json = args.windows(2).any(|w| (w[0] == "-o" || w[0] == "--output") && w[1] == "json")
        || args.iter().any(|a| a == "-ojson" || a == "--output=json");
    if e.use_stderr() && json {
        let text = e.to_string();
        let why = text.lines().next().unwrap_or("").trim_start_matches("error: ").to_owned();
        eprintln!("{}", Problem::new(Kind::Usage, "the command line", why, "see proximity --help").json());
    } else {
        let _ = e.print();
    }
    if e.use_stderr() { Kind::Usage.status() } else { 0 }
}

fn go(cli: Cli) -> Done {
    let g = cli.global;
    if g.restricted {
        restricted::refuse_overrides(g.host.is_some(), g.state.is_some())?;
    }
    let mut flags: Vec<(&str, String)> = Vec::new();
    flags.extend(g.host.map(|h| ("host", h)));
    flags.extend(g.state.map(|s| ("state", s.display().to_string())));
    flags.extend(g.ascii.then(|| ("ascii", "true".to_owned())));
    flags.extend(g.mono.then(|| ("mono", "true".to_owned())));
    // Nobody's home and environment decide in restricted mode.
    let config = if g.restricted { Config::of_system(&flags)? } else { Config::load(&flags, |name| std::env::var(name).ok())? };
    let host = host(&config)?;
    if cli.command.is_some() {
        trace();
    }
    let mode = if cli.command.is_some() { "command" } else { "console" };
    let ctx = Ctx {
        config,
        host,
        form: g.output,
        dry_run: g.dry_run,
        yes: g.yes,
        name: g.name,
        no_wait: g.no_wait,
        read_only: g.read_only,
        restricted: g.restricted,
        proof_fd: g.proof_fd,
        second: g.second,
        who: OnceLock::new(),
        mode,
    };
    let Some(command) = cli.command else { return crate::run::console(ctx) };
    let runtime = runtime()?;
    let done = runtime.block_on(command_of(ctx, command));
    // A look that hangs must not keep the program alive.
    runtime.shutdown_background();
    done
}

/// What goes wrong aside goes to standard error as JSON lines: at a worker that is the journal of its unit.
/// The console has no place for it but the screen.
fn trace() {
    let built =
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).with_ansi(false).try_init();
    // Only fails where somebody traces already.
    drop(built);
}

/// The runtime of host, ops and jobs.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|e| Problem::new(Kind::Failed, "the program", format!("no threads: {e}"), "see the limits of this user (ulimit -a)"))
}

fn host(config: &Config) -> Result<Arc<dyn Host>, Problem> {
    match config.host.as_str() {
        "local" => Ok(Arc::new(LocalHost::new())),
        "demo" => {
            let (now, offset) = LocalHost::new().clock();
            Ok(Arc::new(DemoHost::new(now, offset)))
        }
        other => Err(Problem::new(
            Kind::Usage,
            "--host",
            format!("'{}' is no host of this version", crate::domain::clean::clean(other)),
            "give local or demo",
        )),
    }
}

/// What a command takes. A new command does not compile without its line here.
fn needs(command: &Command) -> Vec<Need> {
    match command {
        Command::Init(_) | Command::InArchive(_) | Command::JobWorker { .. } => vec![Need::Unrestricted],
        Command::Status | Command::Doctor => vec![on_host(Permission::Look)],
        Command::Guest(guest) => vec![guest.need()],
        Command::Backup(backup) => backup.needs(),
        Command::Appliance(appliance) => appliance.needs(),
        Command::Ports(ports) => ports.needs(),
        Command::Repair(repair) => vec![repair.need()],
        Command::Logs(logs) => logs.needs(),
        Command::Job(job) => vec![job.need()],
        Command::Operator(operator) => vec![operator.need()],
        Command::Settings(command) => command.needs(),
        Command::Vault(vault) => vault.needs(),
        Command::Audit(_) => vec![on_host(Permission::ReadAudit)],
        Command::PrintKeys | Command::PrintConfig | Command::Manual { .. } => vec![on_host(Permission::Help)],
    }
}

async fn command_of(ctx: Ctx, command: Command) -> Done {
    needs(&command).iter().try_for_each(|need| ctx.satisfy(need))?;
    match command {
        Command::Init(init) => init::init(&ctx, &init),
        Command::Status => status::status(&ctx).await,
        Command::Guest(guest) => guest::run(&ctx, guest).await,
        Command::Backup(backup) => backup::run(&ctx, backup).await,
        Command::Appliance(command) => appliance::run(&ctx, command).await,
        Command::Ports(command) => ports::run(&ctx, command).await,
        Command::Repair(command) => repair::run(&ctx, command).await,
        Command::Logs(logs) => logs::run(&ctx, &logs).await,
        Command::Job(job) => job::run(&ctx, job).await,
        Command::Operator(operator) => operator::run(&ctx, operator),
        Command::Settings(command) => settings::run(&ctx, command).await,
        Command::Vault(command) => vault::run(&ctx, &command),
        Command::Audit(audit) => audit::run(&ctx, &audit).await,
        Command::Doctor => doctor::run(&ctx).await,
        Command::PrintKeys => manual::keys(&ctx),
        Command::PrintConfig => manual::config(&ctx),
        Command::Manual { topic } => manual::page(topic.as_deref()),
        Command::InArchive(command) => in_archive::run(&ctx, command).await,
        Command::JobWorker { unit, id } => match crate::jobs::work(&ctx.config.state, id, unit).await {
            Ok(State::Succeeded) => Ok(0),
            Ok(State::Warned) => Ok(WARNED),
            Ok(_) => Ok(Kind::Failed.status()),
            Err(why) => Err(Problem::new(Kind::Failed, format!("job {id}"), why, "")),
        },
    }
}

impl Ctx {
    /// The host of this World.
    pub(crate) fn place(&self) -> Place {
        Place { host: self.host.name().to_owned(), demo: self.host.is_demo() }
    }

    /// The jobs: in the store's directory, or in memory for the demo. Jobs whose worker is gone are looked after.
    pub(crate) async fn jobs(&self) -> Result<Arc<Jobs>, Problem> {
        let jobs = self.open_jobs()?;
        if *jobs.store().mode() == crate::store::StoreMode::ReadWrite && !self.read_only {
            jobs.reconcile(self.host.as_ref()).await?;
        }
        Ok(jobs)
    }

    /// The same without looking after them.
    pub(crate) fn open_jobs(&self) -> Result<Arc<Jobs>, Problem> {
        if self.host.is_demo() {
            return Ok(Arc::new(Jobs::inside(Store::in_memory()?, self.audit())));
        }
        let store = Store::open(&self.config.state)?;
        Ok(Arc::new(Jobs::of_dir(store, self.config.state.clone(), self.audit())))
    }

    /// The store where it can be opened, for an entry of something that needs no store itself.
    pub(crate) fn store_for_audit(&self) -> Option<Store> {
        if self.host.is_demo() { Store::in_memory().ok() } else { Store::open(&self.config.state).ok() }
    }

    /// What writes the audit down for this process.
    pub(crate) fn audit(&self) -> Recorder {
        Recorder::new(self.mode, self.host.as_ref())
    }

    /// A fresh World, without jobs: as much of it as the operator may look at.
    pub(crate) async fn world(&self) -> Result<World, Problem> {
        let who = self.who()?;
        let mut news = refresh::refresh(self.host.as_ref()).await;
        news.only(who);
        let mut world = World { place: self.place(), ..World::default() };
        world.learn(news);
        Ok(world)
    }

    /// The same with what the store remembers.
    pub(crate) async fn world_with_jobs(&self) -> Result<World, Problem> {
        let mut world = self.world().await?;
        self.remembered(&mut world);
        Ok(world)
    }

    /// All of it: for planning, so that a new guest gets an id that is free, and for what settings decide.
    async fn whole_world(&self) -> World {
        let mut world = World { place: self.place(), ..World::default() };
        world.learn(refresh::refresh(self.host.as_ref()).await);
        world
    }

    /// The jobs that the operator may look at.
    pub(crate) fn jobs_seen(&self, jobs: &Jobs) -> Result<Part<Vec<Job>>, Problem> {
        let who = self.who()?;
        let mut news = News { jobs: Some(jobs.part(self.host.clock().0)), ..News::default() };
        news.only(who);
        Ok(news.jobs.unwrap_or_default())
    }

    /// The settings as far as they can be read without the vault; pending where there is no store.
    fn settings(&self) -> Part<Settings> {
        if self.host.is_demo() {
            return Part::default();
        }
        let now = self.host.clock().0;
        match Store::open(&self.config.state).and_then(|store| store.settings(None)) {
            Ok(settings) => Part::new(settings, now, From::Files),
            Err(StoreError::Missing { .. }) => Part::default(),
            Err(e) => Part::unknown(e.to_string(), now),
        }
    }

    /// What the store remembers of how things should be, as far as that can be read without the vault.
    fn remembered(&self, world: &mut World) {
        world.settings = self.settings();
        let now = self.host.clock().0;
        if self.host.is_demo() {
            // Its jobs end with the program that began them.
            world.jobs = Part::new(Vec::new(), now, From::Files);
            return;
        }
        world.pins = match Store::open(&self.config.state).and_then(|store| store.pins(None)) {
            Ok(pins) => Part::new(pins, now, From::Files),
            Err(StoreError::Missing { .. }) => Part::default(),
            Err(e) => Part::unknown(e.to_string(), now),
        };
        world.ports = match Store::open(&self.config.state).and_then(|store| store.ports(None, now)) {
            Ok(ports) => Part::new(ports, now, From::Files),
            Err(StoreError::Missing { .. }) => Part::default(),
            Err(e) => Part::unknown(e.to_string(), now),
        };
        world.jobs = self.open_jobs().map_or_else(|e| Part::unknown(e.why, now), |jobs| jobs.part(now));
    }

    /// When the range of addresses will be full, by what the store remembers.
    fn forecast(&self, pool: Pool, now: Stamp) -> Forecast {
        if self.host.is_demo() {
            return Forecast::Unknown("the demo remembers no days".into());
        }
        match Store::open(&self.config.state) {
            Ok(store) => probe::forecast(&store, pool, now, !self.read_only),
            Err(e) => Forecast::Unknown(e.to_string()),
        }
    }

    /// Refuses where the setting says so, or cannot be read.
    fn not_read_only_by_setting(&self, what: &str) -> Result<(), Problem> {
        let world = World { settings: self.settings(), ..World::default() };
        if world.chosen().and_then(|s| s.flag("system.read_only")) == Ok(false) {
            return Ok(());
        }
        let hint = "proximity settings set system.read_only off";
        Err(Problem::new(Kind::ReadOnly, what, "system.read_only is on, or cannot be read", hint))
    }

    /// Turns a wish into a plan and, unless only the plan is wanted, into a job; waits for its end.
    pub(crate) async fn fulfil(&self, wish: Wish) -> Done {
        self.fulfil_with(wish, &login::Open::default()).await
    }

    /// The same, with how the vault is opened for what is to be remembered.
    async fn fulfil_with(&self, wish: Wish, open: &login::Open) -> Done {
        let (permission, object) = of_wish(&wish);
        self.allow(permission, object)?;
        let mut world = self.whole_world().await;
        self.remembered(&mut world);
        let plan = planner::plan(self.host.as_ref(), &world, &wish).await?;
        let (permission, object) = of_plan(&plan);
        self.allow(permission, object)?;
        if self.dry_run {
            output::plan(self.form, &plan);
            return Ok(0);
        }
        if self.read_only {
            return Err(Problem::new(Kind::ReadOnly, plan.title, "--read-only refuses everything that changes something", ""));
        }
        self.not_read_only_by_setting(&plan.title)?;
        if plan.steps.is_empty() {
            output::nothing_to_do(self.form, &plan);
            return Ok(0);
        }
        if self.no_wait && self.host.is_demo() {
            return Err(Problem::new(Kind::Usage, "--no-wait", "jobs of the demo end with the program", "leave it out"));
        }
        let jobs = self.jobs().await?;
        let order = self.approve(plan)?;
        let order = self.seconded(&jobs.store(), order)?;
        match &order.plan().purpose {
            Purpose::Pin(change) => self.keep_pin(&jobs.store(), change, open)?,
            Purpose::Publish(Some(wish)) => self.keep_ports(&jobs.store(), wish, open)?,
            _ => {}
        }
        let id = jobs.start(&self.host, order)?;
        if self.no_wait {
            output::job_id(self.form, id);
            return Ok(0);
        }
        job::wait(self, &jobs, id, None, true).await
    }

    fn keep_pin(&self, store: &Store, change: &PinChange, open: &login::Open) -> Result<(), Problem> {
        let Unlocked { vault, who } = settings::open(self, store, open, Permission::Appliance)?;
        Ok(pins::keep(&self.audit(), store, &vault, &who, self.host.clock().0, change)?)
    }

    /// What listens was looked at for the plan; whether a pair is still free is decided here.
    fn keep_ports(&self, store: &Store, wish: &PortWish, open: &login::Open) -> Result<(), Problem> {
        let Unlocked { vault, who } = settings::open(self, store, open, Permission::Ports)?;
        port_ops::keep(&self.audit(), store, &vault, &who, self.host.clock().0, wish, &Sockets::default())?;
        Ok(())
    }

    /// Carries out, without a word, what needs no asking, beside a job that is waited for.
    async fn fulfil_beside(&self, jobs: &Arc<Jobs>, wish: &Wish) -> Result<(), Problem> {
        let (permission, object) = of_wish(wish);
        self.allow(permission, object)?;
        let mut world = self.whole_world().await;
        self.remembered(&mut world);
        let order = self.approve(planner::plan(self.host.as_ref(), &world, wish).await?)?;
        jobs.start(&self.host, order)?;
        Ok(())
    }

    /// Low risk needs nothing; the rest `--yes` or a yes at the terminal, and the name where something is lost.
    fn approve(&self, plan: Plan) -> Result<Approved, Problem> {
        let title = plan.title.clone();
        let refused = |why: &str, hint: &str| Problem::new(Kind::Refused, title.clone(), why, hint);
        if plan.risk != Risk::Low && !self.yes {
            if !output::at_terminal() {
                return Err(refused("it interrupts something and nobody is there to ask", "give --yes, after a look with --dry-run"));
            }
            output::plan(Form::Table, &plan);
            if !output::ask_yes()? {
                return Err(refused("you said no", ""));
            }
        }
        let who = self.who()?;
        let destroys = matches!(plan.risk, Risk::Destroys { .. });
        let named = Approved::new(plan, who.name.clone(), self.name.as_deref());
        let order = named.ok_or_else(|| refused("its name was not given", "give --name NAME"))?.in_name_of(who);
        if destroys && !self.host.is_demo() {
            self.prove_again(order.plan())?;
        }
        Ok(order)
    }

    /// The same order, with a second operator's yes where it needs one.
    fn seconded(&self, store: &Store, order: Approved) -> Result<Approved, Problem> {
        if store.lacks_second(&order, None) { login::seconded(self, store, &self.second, order) } else { Ok(order) }
    }

    /// What destroys needs a passphrase, and a code where a second factor is on, of the one who wants it.
    fn prove_again(&self, plan: &Plan) -> Result<(), Problem> {
        let store = Store::open(&self.config.state)?;
        let open = login::Open { operator: None, passphrase_fd: self.proof_fd, code_fd: None, words: false };
        // The option has another name here.
        let told = |p: Problem| Problem { hint: p.hint.replace("--passphrase-fd", "--proof-fd"), ..p };
        let unlocked = login::login(self, &store, &open).map_err(told)?;
        let (permission, object) = of_plan(plan);
        Ok(authorize(Some(&unlocked.who), permission, object)?)
    }
}

/// A guest's id as clap reads it.
fn vmid(text: &str) -> Result<Vmid, String> {
    text.parse()
}

/// The exit status of a job that ended.
fn status_of(job: &Job) -> Done {
    match Problem::of_job(job) {
        Some(problem) => Err(problem),
        None if job.state == State::Warned => Ok(WARNED),
        None => Ok(0),
    }
}
