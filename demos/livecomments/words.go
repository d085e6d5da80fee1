package livecomments

var firstNames = []string{
	"Ana", "Amara", "Aiko", "Anders", "Aylin", "Beatriz", "Ben", "Bilal", "Carmen", "Chidi", "Chloe", "Daan", "Devi", "Diego", "Elif",
	"Emeka", "Emma", "Farah", "Fatou", "Finn", "Freya", "Gabriel", "Giulia", "Hana", "Hassan", "Henrik", "Ines", "Isla", "Ivan", "Jack",
	"Jin", "Jonas", "Julia", "Kaito", "Kamala", "Karim", "Katya", "Kofi", "Lars", "Leila", "Lena", "Liam", "Linh", "Lucia", "Luis",
	"Maja", "Malik", "Marco", "Marta", "Mateo", "Mei", "Mia", "Milan", "Mina", "Naledi", "Niamh", "Nikos", "Noah", "Noor", "Nuria",
	"Olek", "Olivia", "Omar", "Paulo", "Pilar", "Priya", "Quentin", "Rafael", "Ravi", "Rosa", "Ruby", "Sami", "Sara", "Sefa", "Sipho",
	"Sofia", "Stella", "Suki", "Tariq", "Teresa", "Theo", "Thuy", "Tomas", "Uma", "Valentina", "Vera", "Wanjiru", "Wei", "Yara", "Yuki",
	"Yusuf", "Zanele", "Zoe",
}

var handles = []string{"DJ", "Captain", "Coach", "Just", "Only", "Vinyl", "Cousin", "Tall", "Sleepy", "Doctor"}

var places = []string{
	"lisbon", "oslo", "accra", "lima", "kyoto", "dublin", "tunis", "porto", "hanoi", "quito", "turin", "tartu",
}

// slots are what the sayings leave open.
var slots = map[string][]string{
	"place": {"Lisbon", "Oslo", "Accra", "Lima", "Kyoto", "Dublin", "Tunis", "Porto Alegre", "Hanoi", "Quito", "Turin", "Tartu", "Nairobi",
		"Montreal", "Chennai", "Valparaíso", "Busan", "Leeds", "Izmir", "Cape Town", "Auckland", "Gdańsk", "Austin", "Reykjavík"},
	"part":   {"bass line", "guitar", "drummer", "harmony", "bridge", "intro", "brass section", "light show", "second verse", "piano", "voice"},
	"good":   {"unreal", "so good", "perfect", "gorgeous", "huge", "out of this world", "wonderful", "beyond words", "magic"},
	"person": {"my mum", "my little brother", "my roommate", "my grandma", "the dog", "my whole office", "my sister", "the cat", "my daughter"},
	"room": {"in the kitchen", "on the night bus", "from my desk", "in the car park", "under the blanket", "on the balcony", "in the laundry room",
		"at the airport", "from the train", "in the back row"},
	"cheer": {"wooo", "yesss", "oh wow", "here we go", "finally", "louder", "again", "bravo", "encore", "what a night"},
	"face":  {"😍", "🥹", "🤩", "😭", "🙌", "🔥", "💛", "👏", "✨", "🎶"},
	"count": {"third", "fourth", "fifth", "first", "second", "tenth"},
	"when":  {"since the first album", "for ten years", "since school", "for years", "forever"},
}

// sayings are comments by mood.
var sayings = map[string][]string{
	"arrive": {
		"hello from {place}!", "{place} is here {face}", "just got in, what did I miss?", "watching {room}, hi everyone",
		"hi from {place}, it's past midnight here", "{place} and {place} in one chat, love it", "made it!", "good evening {place} {face}",
		"my {count} time seeing them live", "{person} and I are watching from {place}", "late again, still happy", "a fan {when}",
	},
	"listen": {
		"that {part} is {good}", "the {part}!!", "{good}", "this song {face}", "the sound is so clear tonight", "I could listen to this {part} for hours",
		"{person} just asked who this is", "goosebumps", "the {part} gets me every time", "no notes, just {good}", "is it me or is the {part} even better live?",
		"dancing {room}", "oh I love this one", "{face}{face}", "that little run on the {part}", "who else is {room}?", "sounds {good} on headphones",
	},
	"ask": {
		"what's this one called?", "which album is this from?", "is that a new {part}?", "how long is the set?", "anyone here from {place}?",
		"will there be a recording?", "who is on drums tonight?", "is this the harbour stage?", "are they coming to {place}?", "what pedal is that?",
	},
	"sing": {
		"singing along {room}", "everybody now!", "{cheer}!!", "THE CHORUS {face}", "whole house is singing", "{person} knows every word",
		"sing it {place}!", "{face}{face}{face}", "louder!!", "this is the part", "I lost my voice and it's only a stream", "{cheer} {face}",
		"chorus of the year", "hands up {place}", "can't sit still", "we are the light, we are the light {face}",
	},
	"praise": {
		"best band I know", "{good} {face}", "thank you for streaming this", "the {part} deserves an award", "how is this free", "{cheer}",
		"proud of them", "this made my week", "10/10 {face}", "the lights! the {part}! all of it!", "sending love from {place} {face}",
	},
	"solo": {
		"the SOLO", "those fingers {face}", "how does anyone play like that", "{person} stopped talking, that's a first", "air guitar {room}",
		"my jaw is on the floor", "keep going keep going", "{face}{face}{face}{face}", "note for note {good}", "guitar hero, literally", "{cheer}!!!",
		"someone check on that amp", "I felt that bend in {place}",
	},
	"hush": {
		"so quiet you can hear the sea", "shhh", "not crying, it's raining {room}", "just the voice. wow.", "holding my breath", "this verse {face}",
		"everybody is so still", "beautiful", "{person} fell asleep smiling", "the calm before…",
	},
	"lanterns": {
		"THE LANTERNS {face}", "look at them rise", "hundreds of them!", "wish I was there {face}", "made a wish from {place}", "{person} is waving at the screen",
		"the whole harbour is glowing", "{cheer} {cheer}", "this is why I stayed up", "screenshot time", "✨✨✨", "never seen anything like it",
		"there goes mine", "the sky {face}",
	},
	"applause": {
		"👏👏👏", "bravo!!", "standing up {room}", "encore! encore!", "thank you from {place}", "clapping so loud {person} woke up", "one more!!",
		"what a set", "take a bow {face}", "that was {good}", "again from the start please",
	},
}
