//! The facts that the domains share: who bought what, why, and how it went. Tables are cut from these, so they join.

use super::random::{DAY, HOUR, Random, day, format_time};

const SEED: u64 = 0x70_67_6D_65_73_68;

const CUSTOMERS: usize = 1_200;
const ARTICLES: usize = 240;
const CAMPAIGNS: usize = 96;
const ORDERS: usize = 6_000;
const SESSIONS: usize = 6_000;
const TICKETS: usize = 1_500;

/// First and last name, each with the form that stands in an address.
const FIRST_NAMES: [(&str, &str); 24] = [
    ("Ada", "ada"),
    ("Zoë", "zoe"),
    ("José", "jose"),
    ("Mia", "mia"),
    ("Noah", "noah"),
    ("Łukasz", "lukasz"),
    ("Yuki", "yuki"),
    ("Amélie", "amelie"),
    ("Olivia", "olivia"),
    ("Jürgen", "juergen"),
    ("Priya", "priya"),
    ("Liam", "liam"),
    ("Søren", "soeren"),
    ("Chloé", "chloe"),
    ("Mateo", "mateo"),
    ("Hana", "hana"),
    ("Emma", "emma"),
    ("Kwame", "kwame"),
    ("Inés", "ines"),
    ("Oskar", "oskar"),
    ("Leila", "leila"),
    ("Tom", "tom"),
    ("Nora", "nora"),
    ("Ravi", "ravi"),
];
const LAST_NAMES: [(&str, &str); 24] = [
    ("Müller", "mueller"),
    ("García", "garcia"),
    ("Smith", "smith"),
    ("O'Brien", "obrien"),
    ("Tanaka", "tanaka"),
    ("Dubois", "dubois"),
    ("van Dijk", "vandijk"),
    ("Nowak", "nowak"),
    ("Johnson", "johnson"),
    ("Sørensen", "soerensen"),
    ("Patel", "patel"),
    ("Fernández", "fernandez"),
    ("Schäfer", "schaefer"),
    ("Kim", "kim"),
    ("Lefèvre", "lefevre"),
    ("Brown", "brown"),
    ("Sato", "sato"),
    ("Jansen", "jansen"),
    ("Wagner", "wagner"),
    ("Okafor", "okafor"),
    ("Martin", "martin"),
    ("Lee", "lee"),
    ("Rossi", "rossi"),
    ("Novák", "novak"),
];

/// Country, region, currency.
const COUNTRIES: [((&str, &str, &str), u32); 8] = [
    (("DE", "EU", "EUR"), 26),
    (("FR", "EU", "EUR"), 15),
    (("NL", "EU", "EUR"), 9),
    (("ES", "EU", "EUR"), 8),
    (("US", "US", "USD"), 24),
    (("JP", "APAC", "JPY"), 8),
    (("AU", "APAC", "AUD"), 6),
    (("SG", "APAC", "SGD"), 4),
];

const NOUNS: [(&str, &str, i64); 12] = [
    ("kitchen", "kettle", 3_900),
    ("kitchen", "chef's knife", 5_400),
    ("garden", "watering can", 2_450),
    ("garden", "hammock", 7_900),
    ("sport", "yoga mat", 2_990),
    ("sport", "running belt", 1_990),
    ("books", "cook book", 2_495),
    ("books", "travel journal", 1_495),
    ("audio", "headphones", 12_900),
    ("audio", "speaker", 8_900),
    ("home-office", "desk lamp", 4_590),
    ("home-office", "chair", 23_900),
];
const ADJECTIVES: [&str; 10] =
    ["blue", "compact", "classic", "folding", "large", "light", "oak", "quiet", "red", "steel"];

pub struct Customer {
    pub id: String,
    pub name: String,
    pub email: String,
    pub country: &'static str,
    pub region: &'static str,
    pub currency: &'static str,
    pub created_at: i64,
}

pub struct Article {
    pub sku: String,
    pub name: String,
    pub category: &'static str,
    pub price_cents: i64,
}

pub struct Campaign {
    pub id: String,
    pub name: String,
    pub channel: &'static str,
    pub starts_at: i64,
    pub ends_at: i64,
    pub planned_cents: i64,
}

pub struct Order {
    pub id: i64,
    /// Index into the story's customers.
    pub customer: usize,
    pub article: usize,
    pub campaign: Option<usize>,
    pub channel: &'static str,
    pub quantity: i32,
    pub amount_cents: i64,
    pub status: &'static str,
    pub ordered_at: i64,
}

pub struct Session {
    pub id: i64,
    /// `None`: nobody was signed in.
    pub customer: Option<usize>,
    pub campaign: Option<usize>,
    pub started_at: i64,
    pub duration_seconds: i32,
    pub page_views: i16,
    pub device: &'static str,
    pub country: &'static str,
}

pub struct Ticket {
    pub id: String,
    /// `None`: lost on the way in, as is the fault of this table.
    pub customer: Option<usize>,
    pub order: Option<i64>,
    pub category: &'static str,
    pub priority: i8,
    pub opened_at: i64,
    pub closed_at: Option<i64>,
    pub satisfaction: Option<i8>,
}

pub struct Story {
    pub customers: Vec<Customer>,
    pub articles: Vec<Article>,
    pub campaigns: Vec<Campaign>,
    /// By time, which is also by id.
    pub orders: Vec<Order>,
    /// By time.
    pub sessions: Vec<Session>,
    /// By time.
    pub tickets: Vec<Ticket>,
}

impl Story {
    pub fn tell() -> Self {
        let customers = customers();
        let articles = articles();
        let campaigns = campaigns();
        let orders = orders(&customers, &articles, &campaigns);
        let sessions = sessions(&customers, &campaigns);
        let tickets = tickets(&orders);
        Self { customers, articles, campaigns, orders, sessions, tickets }
    }
}

/// A stream of chance for one table.
pub fn random(subject: &str) -> Random {
    Random::new(SEED, subject)
}

/// The first moment after the story.
pub fn end() -> i64 {
    day(2026, 11, 16)
}

/// A name and the address that goes with it.
pub fn person(random: &mut Random, number: usize) -> (String, String) {
    let (first, first_slug) = random.pick(&FIRST_NAMES);
    let (last, last_slug) = random.pick(&LAST_NAMES);
    (format!("{first} {last}"), format!("{first_slug}.{last_slug}{number}@example.com"))
}

pub fn country(random: &mut Random) -> (&'static str, &'static str, &'static str) {
    random.weighted(&COUNTRIES)
}

fn customers() -> Vec<Customer> {
    let mut random = random("customers");
    // nine of ten were there before the first order of the story
    let (first, before, last) = (day(2024, 1, 8), day(2026, 2, 1), day(2026, 11, 8));
    (0..CUSTOMERS)
        .map(|number| {
            let (name, email) = person(&mut random, number + 1);
            let (country, region, currency) = country(&mut random);
            let born = if random.chance(0.9) { random.between(first, before) } else { random.between(before, last) };
            let created_at = born - born.rem_euclid(DAY) + random.time_of_day();
            Customer { id: format!("C-{:05}", number + 1), name, email, country, region, currency, created_at }
        })
        .collect()
}

fn articles() -> Vec<Article> {
    let mut random = random("articles");
    (0..ARTICLES)
        .map(|number| {
            let (category, noun, price) = NOUNS[number % NOUNS.len()];
            let adjective = ADJECTIVES[number / NOUNS.len() % ADJECTIVES.len()];
            let series = if number < ARTICLES / 2 { "" } else { " II" };
            let price_cents = price * random.between(70, 150) / 100 / 5 * 5;
            Article {
                sku: format!("SKU-{:04}", number + 1),
                name: format!("{adjective} {noun}{series}"),
                category,
                price_cents,
            }
        })
        .collect()
}

fn campaigns() -> Vec<Campaign> {
    let mut random = random("campaigns");
    let themes =
        ["Spring start", "Garden days", "Back to work", "Summer light", "Home concert", "Black week", "Welcome back"];
    (0..CAMPAIGNS)
        .map(|number| {
            let starts_at = day(2026, 1, 12) + number as i64 * 3 * DAY;
            let channel = random.weighted(&[("search", 30), ("social", 30), ("email", 25), ("display", 15)]);
            Campaign {
                id: format!("CMP-2026-{:03}", number + 1),
                name: format!("{} {}", random.pick(&themes), format_time(starts_at, "%B")),
                channel,
                starts_at,
                ends_at: starts_at + random.between(10, 35) * DAY,
                planned_cents: random.between(20, 400) * 25_000,
            }
        })
        .collect()
}

/// A campaign that runs at `time`.
fn running(random: &mut Random, campaigns: &[Campaign], time: i64) -> Option<usize> {
    let running: Vec<usize> =
        (0..campaigns.len()).filter(|c| (campaigns[*c].starts_at..campaigns[*c].ends_at).contains(&time)).collect();
    if running.is_empty() { None } else { Some(*random.pick(&running)) }
}

fn orders(customers: &[Customer], articles: &[Article], campaigns: &[Campaign]) -> Vec<Order> {
    let mut random = random("orders");
    let (first, days) = (day(2026, 2, 1), (end() - day(2026, 2, 1)) / DAY);
    // growth: the larger of two days is drawn half of the time
    let mut times: Vec<i64> = (0..ORDERS)
        .map(|_| {
            let (one, other) = (random.between(0, days - 1), random.between(0, days - 1));
            let chosen = if random.chance(0.5) { one } else { one.max(other) };
            first + chosen * DAY + random.time_of_day()
        })
        .collect();
    times.sort_unstable();
    (100_001..)
        .zip(times)
        .map(|(id, ordered_at)| {
            let mut customer = random.skewed(customers.len());
            while customers[customer].created_at > ordered_at {
                customer = random.skewed(customers.len());
            }
            let article = random.skewed(articles.len());
            let quantity = random.weighted(&[(1, 70), (2, 18), (3, 7), (4, 3), (10, 2)]);
            let discount = random.weighted(&[(100, 75), (90, 15), (80, 10)]);
            let age_days = (end() - ordered_at) / DAY;
            let status = match age_days {
                0..3 => random.weighted(&[("placed", 70), ("shipped", 25), ("cancelled", 5)]),
                3..9 => random.weighted(&[("placed", 5), ("shipped", 60), ("delivered", 30), ("cancelled", 5)]),
                _ => random.weighted(&[("delivered", 90), ("returned", 6), ("cancelled", 4)]),
            };
            let campaign = if random.chance(0.35) { running(&mut random, campaigns, ordered_at) } else { None };
            let channel = random.weighted(&[("web", 52), ("app", 30), ("marketplace", 12), ("store", 6)]);
            let amount_cents = articles[article].price_cents * i64::from(quantity) * discount / 100;
            Order { id, customer, article, campaign, channel, quantity, amount_cents, status, ordered_at }
        })
        .collect()
}

fn sessions(customers: &[Customer], campaigns: &[Campaign]) -> Vec<Session> {
    let mut random = random("sessions");
    let first = day(2026, 8, 1);
    let days = (end() - first) / DAY;
    let mut times: Vec<i64> =
        (0..SESSIONS).map(|_| first + random.between(0, days - 1) * DAY + random.time_of_day()).collect();
    times.sort_unstable();
    (1..)
        .zip(times)
        .map(|(id, started_at)| {
            let guess = random.skewed(customers.len());
            let known = random.chance(0.62) && customers[guess].created_at <= started_at;
            let page_views = 1 + (random.unit() * random.unit() * 30.0) as i16;
            let country = if known { customers[guess].country } else { country(&mut random).0 };
            Session {
                id,
                customer: known.then_some(guess),
                campaign: if random.chance(0.3) { running(&mut random, campaigns, started_at) } else { None },
                started_at,
                duration_seconds: i32::from(page_views) * random.between(8, 70) as i32,
                page_views,
                device: random.weighted(&[("mobile", 58), ("desktop", 34), ("tablet", 8)]),
                country,
            }
        })
        .collect()
}

/// Tickets follow orders by a few days. The import that fills the table is broken: some tickets come twice, some without
/// their customer, so the product misses its promises.
fn tickets(orders: &[Order]) -> Vec<Ticket> {
    let mut random = random("tickets");
    let mut tickets: Vec<Ticket> = Vec::with_capacity(TICKETS);
    while tickets.len() < TICKETS {
        let order = random.pick(orders);
        let opened_at = order.ordered_at + random.between(2, 14 * 24) * HOUR;
        if opened_at >= end() {
            continue;
        }
        let closed_at = Some(opened_at + random.between(1, 120) * HOUR).filter(|closed| *closed < end());
        tickets.push(Ticket {
            id: String::new(),
            customer: if random.chance(0.045) { None } else { Some(order.customer) },
            order: if random.chance(0.8) { Some(order.id) } else { None },
            category: random.weighted(&[
                ("delivery", 40),
                ("return", 25),
                ("invoice", 15),
                ("quality", 15),
                ("account", 5),
            ]),
            priority: random.weighted(&[(1, 5), (2, 20), (3, 75)]),
            opened_at,
            closed_at,
            satisfaction: if closed_at.is_some() && random.chance(0.6) {
                Some(random.weighted(&[(5, 40), (4, 30), (3, 15), (2, 9), (1, 6)]))
            } else {
                None
            },
        });
    }
    tickets.sort_by_key(|ticket| ticket.opened_at);
    let mut number = 0;
    for ticket in &mut tickets {
        if number == 0 || !random.chance(0.025) {
            number += 1;
        }
        ticket.id = format!("T-{number:05}");
    }
    tickets
}
