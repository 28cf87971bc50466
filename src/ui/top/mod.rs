//! The full screen of `top`: enters and leaves it, reads keys, draws.
//!
//! *Invariant:* the terminal is as it was once a `Screen` is dropped, and nobody reads its input any more.

mod detail;
mod overview;
mod view;

use std::io::{self, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dkc_inventory::live::Live;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::{cursor, execute, terminal};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc;

pub use view::{Key, View};

/// How often the reader of keys looks whether it is to end.
const KEYS_INTERVAL: Duration = Duration::from_millis(100);
/// Keys that wait to be taken; more are dropped.
const KEYS_MAX: usize = 32;

/// The terminal in full screen.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// What the operator does.
    pub keys: mpsc::Receiver<Key>,
    is_left: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    pub fn enter() -> io::Result<Screen> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        terminal::enable_raw_mode()?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        let is_left = Arc::new(AtomicBool::new(false));
        let reader = {
            let is_left = is_left.clone();
            std::thread::spawn(move || read_keys(&sender, &is_left))
        };
        // From here on dropping it restores the terminal.
        let screen = Screen { terminal, keys, is_left, reader: Some(reader) };
        // Not `Terminal::clear`: it asks the terminal where its cursor is, and a slow line answers too late.
        let all = terminal::Clear(terminal::ClearType::All);
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide, all).map(|()| screen)
    }

    pub fn draw(&mut self, live: &Live, view: &View, has_color: bool) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, live, view, has_color)).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::Relaxed);
        self.keys.close();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        // A terminal that is gone cannot be restored.
        let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

fn draw(frame: &mut Frame<'_>, live: &Live, view: &View, has_color: bool) {
    let palette = overview::Palette { has_color };
    match live.picture.as_ref() {
        Some(picture) if view.is_open() => detail::draw(frame, picture, view, palette),
        Some(picture) => overview::draw(frame, live, picture, view, palette),
        None => {}
    }
    if view.is_help {
        overview::draw_help(frame);
    }
}

fn read_keys(keys: &mpsc::Sender<Key>, is_left: &AtomicBool) {
    while !is_left.load(Ordering::Relaxed) {
        let key = match event::poll(KEYS_INTERVAL).and_then(|is_there| is_there.then(event::read).transpose())
        {
            Ok(Some(Event::Key(key))) => key_of(key),
            Ok(Some(Event::Resize(..))) => Some(Key::Redraw),
            Ok(_) => None,
            // The terminal is gone; so are the keys, which ends the screen.
            Err(_) => return,
        };
        if let Some(key) = key {
            // Somebody who leans on a key does not need every repetition.
            let _ = keys.try_send(key);
        }
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match key.code {
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Key::NextPane,
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Key::PreviousPane,
        KeyCode::Enter => Key::Open,
        KeyCode::Esc | KeyCode::Backspace => Key::Back,
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Char('p') | KeyCode::Char(' ') => Key::Pause,
        KeyCode::Char('+') => Key::Slower,
        KeyCode::Char('-') => Key::Faster,
        KeyCode::Char('?') => Key::Help,
        _ => return None,
    })
}
